-- SPDX-License-Identifier: Apache-2.0
-- What a slot's card holds of whom it trusts, where that is not what its SIM came with: SHA-256 of
-- files 06, 07 and 0C as the card has confirmed them, of the key in 0C, and of the key that its
-- payload announces. ready: from when on the device may be given payloads by that key; 0: it may,
-- or none is announced.
CREATE TABLE card_trust (
	profile BIGINT PRIMARY KEY REFERENCES profile (id),
	iccid TEXT NOT NULL,
	root BLOB NOT NULL,
	issuing BLOB NOT NULL,
	signer BLOB NOT NULL,
	spki BLOB NOT NULL,
	announced BLOB,
	ready BIGINT NOT NULL
);
CREATE INDEX card_trust_ready ON card_trust (ready) WHERE ready > 0;
