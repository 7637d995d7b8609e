-- SPDX-License-Identifier: Apache-2.0
-- Jobs that an operator takes from its EPP queue: which of them it has acknowledged.

ALTER TABLE job ADD COLUMN polled INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_unpolled ON job (mno, id) WHERE state = 1 AND polled = 0;
