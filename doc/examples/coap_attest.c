/* SPDX-License-Identifier: Apache-2.0 */

/* A CoAP server over DTLS that serves attested devices only, on libcoap and
 * libattest. It never stands still for a look-up: the handshake checks what the
 * certificate shows, and each request asks what is known of the device now.
 * While the answer is on its way the device is told to come again (5.03,
 * Max-Age 1); a device that is not attested gets 4.03. A withdrawn device is so
 * refused when its record's TTL has passed, within a live session too.
 *
 *   coap_attest PORT CERT KEY ZONE SERVICE CA ANCHOR RESOLVER PORT PIN */

#include <attest.h>

#include <coap3/coap.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the handshake, depth 0 is the device's certificate. Its chain was checked against ca_file by
 * libcoap, and is again here. */
static int on_certificate(const char *cn, const uint8_t *der, size_t len, coap_session_t *session,
	unsigned depth, int validated, void *arg)
{
	struct attest_result r;

	(void)cn;
	(void)session;
	if (depth > 0)
		return validated;
	return validated && attest_check_local(arg, der, len, &r) == ATTEST_OK;
}

/* From the TLS session, so that a resumed one is judged as well. */
static enum attest_reason judge(
	struct attest *attest, const coap_session_t *session, struct attest_result *r)
{
	coap_tls_library_t lib = COAP_TLS_LIBRARY_NOTLS;
	SSL *ssl = coap_session_get_tls(session, &lib);
	X509 *cert = ssl && lib == COAP_TLS_LIBRARY_OPENSSL ? SSL_get0_peer_certificate(ssl) : NULL;
	unsigned char *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : 0;
	enum attest_reason reason = attest_check_now(attest, der, len > 0 ? (size_t)len : 0, r);

	OPENSSL_free(der);
	return reason;
}

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
	const coap_string_t *query, coap_pdu_t *response)
{
	struct attest *attest = coap_resource_get_userdata(resource);
	struct attest_result r;
	uint8_t max_age = 1;

	(void)request;
	(void)query;
	switch (judge(attest, session, &r)) {
	case ATTEST_OK:
		coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
		coap_add_data(response, strlen(r.name), (const uint8_t *)r.name);
		break;
	case ATTEST_CANNOT_TELL:
		coap_pdu_set_code(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE);
		coap_add_option(response, COAP_OPTION_MAXAGE, 1, &max_age);
		break;
	case ATTEST_UNAUTHENTICATED:
	case ATTEST_UNKNOWN:
	case ATTEST_BOUND_ELSEWHERE:
	case ATTEST_ABSENT:
	case ATTEST_SUPERSEDED: coap_pdu_set_code(response, COAP_RESPONSE_CODE_FORBIDDEN); break;
	}
	printf("%s %s\n", attest_reason_text(r.reason), r.name);
	fflush(stdout);
}

static coap_endpoint_t *listen_at(coap_context_t *ctx, const char *port)
{
	coap_address_t a;

	coap_address_init(&a);
	a.addr.sin.sin_family = AF_INET;
	a.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.addr.sin.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	a.size = sizeof(a.addr.sin);
	return coap_new_endpoint(ctx, &a, COAP_PROTO_DTLS);
}

int main(int argc, char **argv)
{
	const char *pins[1] = { argc > 10 ? argv[10] : NULL };
	struct attest_options o = { .pins = pins, .n_pins = 1 };
	coap_dtls_pki_t pki = { .version = COAP_DTLS_PKI_SETUP_VERSION,
		.verify_peer_cert = 1,
		.cert_chain_validation = 1,
		.cert_chain_verify_depth = 3,
		.allow_no_crl = 1,
		.validate_cn_call_back = on_certificate,
		.pki_key.key_type = COAP_PKI_KEY_PEM };
	struct attest *attest = NULL;
	char error[ATTEST_TEXT_MAX] = "usage: coap_attest PORT CERT KEY ZONE SERVICE CA ANCHOR "
				      "RESOLVER PORT PIN";
	coap_context_t *ctx;
	coap_resource_t *resource;

	if (argc > 10) {
		o.zone = argv[4];
		o.service = argv[5];
		o.ca_file = argv[6];
		o.anchor_file = argv[7];
		o.resolver_addr = argv[8];
		o.resolver_port = (uint16_t)strtoul(argv[9], NULL, 10);
		pki.pki_key.key.pem.public_cert = argv[2];
		pki.pki_key.key.pem.private_key = argv[3];
		pki.pki_key.key.pem.ca_file = argv[6];
	}
	if (argc <= 10 || attest_new(&o, &attest, error, sizeof(error)) != ATTEST_SUCCESS) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	pki.cn_call_back_arg = attest;
	coap_startup();
	ctx = coap_new_context(NULL);
	resource = coap_resource_init(coap_make_str_const("whoami"), 0);
	coap_register_request_handler(resource, COAP_REQUEST_GET, on_get);
	coap_resource_set_userdata(resource, attest);
	coap_add_resource(ctx, resource);
	if (!coap_context_set_pki(ctx, &pki) ||
		!coap_context_set_pki_root_cas(ctx, argv[6], NULL) || !listen_at(ctx, argv[1])) {
		fputs("cannot listen\n", stderr);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (coap_io_process(ctx, COAP_IO_WAIT) >= 0)
		;
	coap_free_context(ctx);
	coap_cleanup();
	attest_free(attest);
	return 0;
}
