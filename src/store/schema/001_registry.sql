-- SPDX-License-Identifier: Apache-2.0
-- The registry's objects. States, kinds and roles are the numbers of proto/registry.proto; times
-- are seconds since 1970; empty text stands for "none" except where a column may be NULL.

CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO counter (name, value) VALUES ('change', 0);

CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL);

CREATE TABLE party (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	roles INTEGER NOT NULL,
	spki BLOB UNIQUE,
	password TEXT NOT NULL,
	created BIGINT NOT NULL
);

CREATE TABLE service (
	handle TEXT PRIMARY KEY,
	asp TEXT NOT NULL REFERENCES party (id),
	fqdn TEXT NOT NULL,
	port INTEGER NOT NULL,
	url TEXT NOT NULL,
	asp_cert BLOB,
	wifi_sealed BLOB,
	td_url TEXT NOT NULL,
	td_sha256 BLOB,
	publish_tlsa INTEGER NOT NULL,
	created BIGINT NOT NULL
);
CREATE INDEX service_asp ON service (asp, handle);

CREATE TABLE service_pin (
	service TEXT NOT NULL REFERENCES service (handle),
	n INTEGER NOT NULL,
	cert_usage INTEGER NOT NULL,
	selector INTEGER NOT NULL,
	matching INTEGER NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (service, n)
);

CREATE TABLE device (
	id INTEGER PRIMARY KEY,
	iccid TEXT NOT NULL UNIQUE,
	eid TEXT,
	imei TEXT NOT NULL,
	mno TEXT NOT NULL REFERENCES party (id),
	owner TEXT REFERENCES party (id),
	locked INTEGER NOT NULL,
	stolen INTEGER NOT NULL,
	broken INTEGER NOT NULL,
	claim_salt BLOB,
	claim_sha256 BLOB,
	claim_tries INTEGER NOT NULL,
	claim_tried BIGINT NOT NULL,
	created BIGINT NOT NULL
);
CREATE UNIQUE INDEX device_eid ON device (eid) WHERE eid IS NOT NULL;
CREATE INDEX device_mno ON device (mno, id);
CREATE INDEX device_owner ON device (owner, id) WHERE owner IS NOT NULL;

-- Every ICCID a device ever had, the current one too (until = 0).
CREATE TABLE iccid_history (
	device INTEGER NOT NULL REFERENCES device (id),
	iccid TEXT NOT NULL,
	mno TEXT NOT NULL,
	since BIGINT NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (device, iccid, since)
);

CREATE TABLE consent (
	device INTEGER NOT NULL REFERENCES device (id),
	asp TEXT NOT NULL REFERENCES party (id),
	PRIMARY KEY (device, asp)
);

-- A slot keeps its row after deletion: the payload sequence of a slot never restarts.
CREATE TABLE profile (
	id INTEGER PRIMARY KEY,
	device INTEGER NOT NULL REFERENCES device (id),
	slot INTEGER NOT NULL,
	sponsor TEXT NOT NULL REFERENCES party (id),
	service TEXT NOT NULL REFERENCES service (handle),
	state INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	wipe_pending INTEGER NOT NULL,
	install_due INTEGER NOT NULL,
	sequence BIGINT NOT NULL,
	pending_job BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	cert BIGINT NOT NULL,
	key_id BIGINT NOT NULL,
	card_cert BIGINT NOT NULL,
	card_sequence BIGINT NOT NULL,
	auth_salt BLOB,
	auth_sha256 BLOB,
	auth_expires BIGINT NOT NULL,
	auth_tries INTEGER NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	UNIQUE (device, slot)
);
CREATE INDEX profile_sponsor ON profile (sponsor, device, slot);
CREATE INDEX profile_service ON profile (service, state);
CREATE INDEX profile_due ON profile (id) WHERE install_due > 0;

CREATE TABLE certificate (
	id INTEGER PRIMARY KEY,
	profile INTEGER NOT NULL REFERENCES profile (id),
	sha256 BLOB NOT NULL UNIQUE,
	spki BLOB NOT NULL,
	state INTEGER NOT NULL,
	not_before BIGINT NOT NULL,
	not_after BIGINT NOT NULL,
	service TEXT NOT NULL,
	der BLOB NOT NULL
);
CREATE INDEX certificate_valid ON certificate (not_after) WHERE state = 1;

-- Which device a key lives on; state 1 in use, 2 revoked for ever.
CREATE TABLE device_key (
	id INTEGER PRIMARY KEY,
	spki BLOB NOT NULL UNIQUE,
	device INTEGER NOT NULL REFERENCES device (id),
	slot INTEGER NOT NULL,
	state INTEGER NOT NULL,
	csr BLOB NOT NULL,
	b_point BLOB
);

CREATE TABLE job (
	id INTEGER PRIMARY KEY,
	profile INTEGER NOT NULL REFERENCES profile (id),
	kind INTEGER NOT NULL,
	state INTEGER NOT NULL,
	iccid TEXT NOT NULL,
	slot INTEGER NOT NULL,
	mno TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	nonce BLOB,
	cert BIGINT NOT NULL,
	sequence BIGINT NOT NULL,
	with_cert INTEGER NOT NULL,
	payload BLOB,
	kit BLOB,
	reason TEXT NOT NULL,
	result_sha256 BLOB,
	not_after BIGINT NOT NULL,
	created BIGINT NOT NULL,
	closed BIGINT NOT NULL
);
CREATE INDEX job_open ON job (mno, id) WHERE state = 1;
CREATE INDEX job_open_profile ON job (profile, id) WHERE state = 1;

CREATE TABLE receipt (
	job BIGINT NOT NULL REFERENCES job (id),
	file TEXT NOT NULL,
	por BLOB NOT NULL,
	received BIGINT NOT NULL,
	PRIMARY KEY (job, file)
);

-- What the zone has still to hear or may ask for again; pruned far below what it has applied.
CREATE TABLE zone_change (
	seq INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	withdrawn INTEGER NOT NULL,
	cert_sha256 BLOB,
	spki_sha256 BLOB,
	not_after BIGINT NOT NULL,
	records BLOB
);

CREATE TABLE poll (
	id INTEGER PRIMARY KEY,
	party TEXT NOT NULL REFERENCES party (id),
	date BIGINT NOT NULL,
	event TEXT NOT NULL,
	name TEXT NOT NULL,
	text TEXT NOT NULL
);
CREATE INDEX poll_party ON poll (party, id);

-- Answers given as "pending": told by poll once the zone serves `seq`.
CREATE TABLE publish_wait (
	id INTEGER PRIMARY KEY,
	seq BIGINT NOT NULL,
	party TEXT NOT NULL REFERENCES party (id),
	name TEXT NOT NULL,
	operation TEXT NOT NULL
);
CREATE INDEX publish_wait_seq ON publish_wait (seq);

CREATE TABLE idempotency (
	party TEXT NOT NULL,
	idem_key TEXT NOT NULL,
	request_sha256 BLOB NOT NULL,
	reply BLOB NOT NULL,
	seq BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (party, idem_key)
);
CREATE INDEX idempotency_expires ON idempotency (expires);

-- hash = SHA-256(hash of the row before || canonical row), see audit.h.
CREATE TABLE audit (
	seq INTEGER PRIMARY KEY,
	time BIGINT NOT NULL,
	party TEXT NOT NULL,
	operation TEXT NOT NULL,
	object TEXT NOT NULL,
	detail TEXT NOT NULL,
	hash BLOB NOT NULL
);
