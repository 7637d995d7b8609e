/* SPDX-License-Identifier: Apache-2.0 */
#include "card/peer.h"

#include <stdlib.h>

struct front_socket {
	struct euicc *euicc;
	struct peers *peers;
};

static enum rc on_open(void **state, void *user)
{
	struct front_socket *s = user;
	struct card_session *session = NULL;
	enum rc rc = euicc_session_new(s->euicc, &session);

	*state = session;
	return rc;
}

static void on_close(void *state, void *user)
{
	(void)user;
	card_session_free(state);
}

static enum rc on_apdu(struct peer *peer, struct cur message, void *user)
{
	uint8_t frame[2 + CARD_RESPONSE_MAX];
	struct put p = put_init(frame + 2, sizeof(frame) - 2);

	(void)user;
	card_session_apdu(peer_state(peer), message.at, message.left, &p);
	frame[0] = (uint8_t)(p.len >> 8);
	frame[1] = (uint8_t)p.len;
	peer_send(peer, frame, 2 + p.len);
	return RC_OK;
}

enum rc front_socket_new(struct event_base *base, struct euicc *euicc, const char *path,
	const struct log *log, struct front_socket **out, struct diag *d)
{
	struct front_socket *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (!s)
		return RC_NOMEM;
	s->euicc = euicc;
	rc = peers_new(base, path,
		&(struct peers_opts){ .message_max = CARD_APDU_MAX,
			.on_message = on_apdu,
			.on_open = on_open,
			.on_close = on_close,
			.user = s },
		log, &s->peers, d);
	if (rc != RC_OK) {
		free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

void front_socket_free(struct front_socket *s)
{
	if (!s)
		return;
	peers_free(s->peers);
	free(s);
}
