-- SPDX-License-Identifier: Apache-2.0
-- What a service says of itself, what was found of its TLSA, and whom makers vouch for.

-- The Thing Description, as it was given; its SHA-256 stands in `service`.
CREATE TABLE service_td (
	service TEXT PRIMARY KEY REFERENCES service (handle),
	doc BLOB NOT NULL
);

-- The last look at the service's own zone; state: enum store_tlsa.
CREATE TABLE service_tlsa (
	service TEXT PRIMARY KEY REFERENCES service (handle),
	state INTEGER NOT NULL,
	checked BIGINT NOT NULL,
	why TEXT NOT NULL
);

-- Devices that a maker says it made: "eid:...", "imei:..." or "iccid:...".
CREATE TABLE maker_device (
	id TEXT PRIMARY KEY,
	maker TEXT NOT NULL REFERENCES party (id),
	model TEXT NOT NULL,
	confirmed BIGINT NOT NULL,
	signature BLOB NOT NULL
);
