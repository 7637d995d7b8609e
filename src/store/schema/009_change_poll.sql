-- SPDX-License-Identifier: Apache-2.0
-- What a message tells of a change: the object before (1) or after (2) it, why, and under which case.

ALTER TABLE poll ADD COLUMN state INTEGER NOT NULL DEFAULT 0;
ALTER TABLE poll ADD COLUMN object BLOB;
ALTER TABLE poll ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE poll ADD COLUMN case_id TEXT NOT NULL DEFAULT '';

ALTER TABLE maintenance ADD COLUMN updated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE maintenance ADD COLUMN deleted BIGINT NOT NULL DEFAULT 0;

-- Certificates name handles, so the handle of a deleted service never comes back.
ALTER TABLE service ADD COLUMN deleted BIGINT NOT NULL DEFAULT 0;
