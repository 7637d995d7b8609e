/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/clientid.h"

#include "base/cur.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* One octet of length and the name (section 3: opaque ClientName<0..2^8-1>). */
struct client {
	unsigned char wire[1 + DANE_CLIENTID_MAX];
};

struct server {
	dane_clientid_take *take;
	void *user;
};

static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

bool dane_clientid_ok(const char *name)
{
	size_t len = strlen(name), label = 0;

	for (size_t i = 0; i < len; i++) {
		label = name[i] == '.' ? 0 : label + 1;
		if ((label == 0 && (i == 0 || name[i - 1] == '.')) || label > 63 ||
			(label > 0 && !plain(name[i])))
			return false;
	}
	return len > 0 && len <= DANE_CLIENTID_MAX && label > 0;
}

/* OpenSSL leaves the extension out when the server did not ask. */
static int client_add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
	size_t *out_len, X509 *x, size_t chain_at, int *alert, void *arg)
{
	const struct client *c = arg;

	(void)ssl;
	(void)type;
	(void)x;
	(void)alert;
	if (context != SSL_EXT_TLS1_3_CERTIFICATE || chain_at != 0)
		return 0;
	*out = c->wire;
	*out_len = (size_t)c->wire[0] + 1;
	return 1;
}

static int client_parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in,
	size_t in_len, X509 *x, size_t chain_at, int *alert, void *arg)
{
	(void)ssl;
	(void)type;
	(void)context;
	(void)x;
	(void)chain_at;
	(void)arg;
	if (in_len == 1 && in[0] == 0)
		return 1;
	*alert = SSL_AD_DECODE_ERROR;
	return 0;
}

static int server_add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
	size_t *out_len, X509 *x, size_t chain_at, int *alert, void *arg)
{
	static const unsigned char empty[] = { 0 };

	(void)ssl;
	(void)type;
	(void)x;
	(void)chain_at;
	(void)alert;
	(void)arg;
	if (context != SSL_EXT_TLS1_3_CERTIFICATE_REQUEST)
		return 0;
	*out = empty;
	*out_len = sizeof(empty);
	return 1;
}

static int server_parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in,
	size_t in_len, X509 *x, size_t chain_at, int *alert, void *arg)
{
	const struct server *s = arg;
	struct cur c = cur_init(in, in_len);
	char name[DANE_CLIENTID_MAX + 1] = "";
	size_t len = cur_u8(&c);
	const uint8_t *text = cur_bytes(&c, len);

	(void)type;
	(void)context;
	(void)x;
	*alert = SSL_AD_HANDSHAKE_FAILURE;
	if (!cur_done(&c) || !text || len == 0 || chain_at != 0 || memchr(text, 0, len))
		return 0;
	memcpy(name, text, len);
	return dane_clientid_ok(name) && s->take(ssl, name, s->user);
}

static void nothing(SSL *ssl, unsigned type, unsigned context, const unsigned char *out, void *arg)
{
	(void)ssl;
	(void)type;
	(void)context;
	(void)out;
	(void)arg;
}

/* The argument lives as long as the context: freed with it. */
static void free_arg(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int at, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)at;
	(void)argl;
	(void)argp;
	free(ptr);
}

static enum rc hang(SSL_CTX *ctx, void *take_arg)
{
	int at = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_arg);

	if (at >= 0 && SSL_CTX_set_ex_data(ctx, at, take_arg) == 1)
		return RC_OK;
	free(take_arg);
	return RC_NOMEM;
}

#define CONTEXTS (SSL_EXT_TLS1_3_CERTIFICATE_REQUEST | SSL_EXT_TLS1_3_CERTIFICATE)

enum rc dane_clientid_client(SSL_CTX *ctx, const char *name)
{
	struct client *c;
	size_t len = strlen(name);
	enum rc rc;

	if (!dane_clientid_ok(name))
		return RC_RANGE;
	c = calloc(1, sizeof(*c));
	if (!c)
		return RC_NOMEM;
	c->wire[0] = (unsigned char)len;
	memcpy(c->wire + 1, name, len);
	rc = hang(ctx, c);
	if (rc == RC_OK && SSL_CTX_add_custom_ext(ctx, DANE_CLIENTID_EXT, CONTEXTS, client_add,
				   nothing, c, client_parse, c) != 1)
		rc = RC_EXISTS;
	return rc;
}

enum rc dane_clientid_server(SSL_CTX *ctx, dane_clientid_take *take, void *user)
{
	struct server *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (!s)
		return RC_NOMEM;
	s->take = take;
	s->user = user;
	rc = hang(ctx, s);
	if (rc == RC_OK && SSL_CTX_add_custom_ext(ctx, DANE_CLIENTID_EXT, CONTEXTS, server_add,
				   nothing, s, server_parse, s) != 1)
		rc = RC_EXISTS;
	return rc;
}
