/* SPDX-License-Identifier: Apache-2.0 */
#include "epp/frame.h"
#include "base/cur.h"
#include "base/put.h"

enum rc epp_frame_next(const uint8_t *buf, size_t buf_len, size_t max, size_t *len)
{
	struct cur c = cur_init(buf, buf_len);
	uint32_t total;

	if (buf_len < EPP_FRAME_HEADER)
		return RC_TRUNCATED;
	total = cur_u32(&c);
	if (total <= EPP_FRAME_HEADER)
		return RC_MALFORMED;
	if (total > max)
		return RC_TOO_LARGE;
	if (buf_len < total)
		return RC_TRUNCATED;
	*len = total - EPP_FRAME_HEADER;
	return RC_OK;
}

void epp_frame_head(size_t len, uint8_t out[EPP_FRAME_HEADER])
{
	struct put p = put_init(out, EPP_FRAME_HEADER);

	put_u32(&p, (uint32_t)(len + EPP_FRAME_HEADER));
}
