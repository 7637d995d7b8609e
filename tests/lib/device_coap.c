/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe.h"

#include <arpa/inet.h>
#include <coap3/coap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* device_coap PORT CA: libcoap over DTLS 1.2 with the key on IOTSAFE_CARD, GET / of 127.0.0.1. */

#define PATIENCE_MS 10000

struct ask {
	struct iotsafe *card;
	bool answered;
};

static int any_name(const char *cn, const uint8_t *cert, size_t len, coap_session_t *session,
	unsigned depth, int validated, void *arg)
{
	(void)cn, (void)cert, (void)len, (void)session, (void)depth, (void)arg;
	return validated;
}

static coap_response_t on_answer(
	coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received, const int mid)
{
	struct ask *ask = coap_get_app_data(coap_session_get_context(session));
	const uint8_t *data = NULL;
	size_t len = 0;

	(void)sent;
	(void)mid;
	if (coap_get_data(received, &len, &data))
		(void)fwrite(data, 1, len, stdout);
	ask->answered = true;
	return COAP_RESPONSE_OK;
}

int main(int argc, char **argv)
{
	struct ask ask = { 0 };
	char error[IOTSAFE_ERROR_MAX] = "";
	coap_dtls_pki_t pki = { .version = COAP_DTLS_PKI_SETUP_VERSION,
		.verify_peer_cert = 1,
		.check_common_ca = 0,
		.validate_cn_call_back = any_name,
		.pki_key = { .key_type = COAP_PKI_KEY_PEM } };
	coap_context_t *ctx;
	coap_session_t *session = NULL;
	coap_address_t to;
	coap_pdu_t *pdu;

	if (argc != 3 || iotsafe_open(NULL, &ask.card, error, sizeof(error)) != IOTSAFE_OK) {
		(void)fprintf(stderr, "device_coap PORT CA: %s\n", error);
		return 2;
	}
	coap_startup();

	ctx = coap_new_context(NULL);
	coap_set_app_data(ctx, &ask);
	(void)coap_context_set_pki_root_cas(ctx, argv[2], NULL);
	coap_address_init(&to);
	to.size = sizeof(to.addr.sin);
	to.addr.sin = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	coap_register_response_handler(ctx, on_answer);
	session = coap_new_client_session_pki(ctx, NULL, &to, COAP_PROTO_DTLS, &pki);
	/* The server asks for a certificate two messages later. (libcoap 4.3.1 calls its
	 * additional_tls_setup_call_back for servers only.) */
	if (session && iotsafe_ssl(ask.card, 1, coap_session_get_tls(session, NULL)) != IOTSAFE_OK)
		(void)fprintf(stderr, "%s\n", iotsafe_last_error(ask.card));
	pdu = session ? coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, session) : NULL;
	if (pdu)
		(void)coap_send(session, pdu);
	for (int waited = 0; pdu && !ask.answered && waited < PATIENCE_MS;) {
		int ms = coap_io_process(ctx, 100);
		waited += ms > 0 ? ms : 100;
	}
	coap_session_release(session);
	coap_free_context(ctx);
	coap_cleanup();
	iotsafe_close(ask.card);
	return ask.answered ? 0 : 1;
}
