/* SPDX-License-Identifier: Apache-2.0 */
#include "card/peer.h"

#include "ota/smslink.h"

#include <stdlib.h>
#include <string.h>

struct front_sms {
	struct euicc *const *euiccs;
	size_t count;
	const struct log *log;
	struct peers *peers;
};

static struct card *find(const struct front_sms *s, const uint8_t iccid[IDENT_ICCID_LEN])
{
	/* A profile that is not enabled has no network to reach it by. */
	for (size_t i = 0; i < s->count; i++) {
		struct card *card = euicc_enabled(s->euiccs[i]);

		if (card && memcmp(card_iccid(card), iccid, IDENT_ICCID_LEN) == 0)
			return card;
	}
	return NULL;
}

/* A card answers to where its message came from. */
static enum rc on_frame(struct peer *peer, struct cur message, void *user)
{
	struct front_sms *s = user;
	/* The length is there, before the message: the frame reader wants all of it. */
	struct cur c = cur_init(message.at - 2, message.left + 2);
	uint8_t ud[SCP80_UD_MAX], frame[SMSLINK_FRAME_MAX];
	struct put reply = put_init(ud, sizeof(ud));
	struct put p = put_init(frame, sizeof(frame));
	struct smslink_frame f;
	struct card *card;

	if (smslink_read(&c, &f) != RC_OK || f.kind != SMSLINK_TO_CARD)
		return RC_MALFORMED;
	card = find(s, f.iccid);
	if (!card) {
		log_write(s->log, LOG_WARNING, "message for no card here");
		return RC_OK;
	}
	if (card_sms(card, f.ud.at, f.ud.left, &reply) != RC_OK)
		return RC_OK; /* parts, or nothing that deserves an answer */
	smslink_write(&p, SMSLINK_FROM_CARD, f.iccid, ud, reply.len);
	peer_send(peer, frame, p.len);
	return RC_OK;
}

enum rc front_sms_new(struct event_base *base, struct euicc *const *euiccs, size_t count,
	const char *path, const struct log *log, struct front_sms **out, struct diag *d)
{
	struct front_sms *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (!s)
		return RC_NOMEM;
	s->euiccs = euiccs;
	s->count = count;
	s->log = log;
	rc = peers_new(base, path,
		&(struct peers_opts){
			.message_max = SMSLINK_FRAME_MAX - 2, .on_message = on_frame, .user = s },
		log, &s->peers, d);
	if (rc != RC_OK) {
		free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

void front_sms_free(struct front_sms *s)
{
	if (!s)
		return;
	peers_free(s->peers);
	free(s);
}
