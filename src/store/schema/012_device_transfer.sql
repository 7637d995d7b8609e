-- SPDX-License-Identifier: Apache-2.0
-- Changes of operator that the losing side answers.

-- The last one of each device; status as EPP's trStatus. The rest is the SIM that it is to get.
CREATE TABLE device_transfer (
	device BIGINT PRIMARY KEY REFERENCES device (id),
	status TEXT NOT NULL,
	requester TEXT NOT NULL,
	requested BIGINT NOT NULL,
	actor TEXT NOT NULL,
	act_date BIGINT NOT NULL,
	iccid TEXT NOT NULL,
	new_iccid TEXT NOT NULL,
	claim_salt BLOB,
	claim_sha256 BLOB,
	attest_cert BLOB
);
CREATE INDEX device_transfer_due ON device_transfer (act_date) WHERE status = 'pending';
