-- SPDX-License-Identifier: Apache-2.0
-- The operator's side: proofs that keys live on SIMs, devices that change their operator, eSIMs.

-- File F2 of a device's card: the maker's certificate of its attestation key.
CREATE TABLE device_attest (
	device BIGINT PRIMARY KEY REFERENCES device (id),
	cert BLOB NOT NULL
);

-- Keys proven to live on a SIM, and who vouches.
CREATE TABLE key_attest (
	spki BLOB PRIMARY KEY,
	maker TEXT NOT NULL,
	proven BIGINT NOT NULL
);

-- The right to take a device over: an MNO by name, a code, or both.
CREATE TABLE device_move (
	device BIGINT PRIMARY KEY REFERENCES device (id),
	move_to TEXT NOT NULL,
	auth_salt BLOB,
	auth_sha256 BLOB,
	auth_expires BIGINT NOT NULL,
	auth_tries INTEGER NOT NULL
);

-- Profiles that an eSIM event has suspended, and that the next one may wake.
CREATE TABLE esim_suspended (
	profile BIGINT PRIMARY KEY REFERENCES profile (id)
);
