/* SPDX-License-Identifier: Apache-2.0 */
/* attestry verify HOST:PORT: is the server the one that its zone names (RFC 7671)? */
#include "verify.h"

#include "base/str.h"
#include "dane/tls.h"

#include <errno.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_AAAA = 28, PATIENCE_S = 10 };

/* What was found, in the words of a device's verdict. */
struct finding {
	const char *reason; /* as attest_reason_text */
	int code;
	char asked[DANE_NAME_MAX + 16];
	char answered[512];
	char proved[DIAG_TEXT_MAX + 64];
	char text[DIAG_TEXT_MAX + 128];
};

bool verify_is_host(const char *what)
{
	const char *colon = strrchr(what, ':');
	uint64_t port;

	return colon && colon != what && u64_read(colon + 1, 1, 65535, &port) == RC_OK;
}

static int found(struct finding *f, const char *reason, int code, const char *fmt, ...)
	ATT_PRINTF(4, 5);

static int found(struct finding *f, const char *reason, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	f->reason = reason;
	f->code = code;
	return code;
}

static int make_dane(const struct attest_options *o, struct dane **out)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver r = { 0 };
	struct dane_options opt = { .anchors = anchors, .resolvers = &r, .n_resolvers = 1 };
	struct diag d = { 0 };
	enum rc rc = dane_anchors_read_file(o->anchor_file, anchors, &opt.n_anchors, &d);

	if (rc == RC_OK && (dane_resolver_addr(&r, o->resolver_addr, o->resolver_port) != RC_OK ||
				   dane_resolver_pin(&r, o->pins[0]) != RC_OK ||
				   (o->resolver_name && str_copy(r.name, sizeof(r.name),
								o->resolver_name) != RC_OK)))
		rc = diag_set(&d, RC_RANGE, "resolver: address, pin or name is not usable");
	if (rc == RC_OK)
		rc = dane_new(&opt, out, &d);
	return rc == RC_OK ? EXIT_DONE : cli_error(EXIT_USAGE, "%s", d.text);
}

static bool show_tlsa(const struct dane_answer *a, char *out, size_t cap)
{
	size_t at = 0;

	for (size_t i = 0; i < a->n_rrs && at + 32 < cap; i++) {
		struct dane_tlsa t;
		char hex[17];

		if (dane_tlsa_parse(&a->rrs[i], &t) != RC_OK)
			continue;
		hex_write(t.data, t.len < 8 ? t.len : 8, hex);
		at += (size_t)snprintf(out + at, cap - at, "%sTLSA %u %u %u %s...", at ? ", " : "",
			t.usage, t.selector, t.matching, hex);
	}
	return at > 0;
}

/* The host's address from the DNS, proved like everything else; or the one that was given. */
static int find_address(struct cli *cli, struct dane *dane, const char *host, uint16_t port,
	struct dane_resolver *to, struct finding *f)
{
	const char *given = cli_opt(cli, "connect"), *at = given ? strrchr(given, '@') : NULL;
	static const uint16_t types[] = { TYPE_AAAA, TYPE_A };
	char addr[64];
	uint64_t n = port;

	if (given) {
		if ((at && u64_read(at + 1, 1, 65535, &n) != RC_OK) ||
			str_format(addr, sizeof(addr), "%.*s",
				(int)(at ? at - given : (long)strlen(given)), given) != RC_OK ||
			dane_resolver_addr(to, addr, (uint16_t)n) != RC_OK)
			return cli_usage(cli, "--connect: must be ADDRESS or ADDRESS@PORT");
		return EXIT_DONE;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct dane_answer a;

		dane_lookup(dane, host, types[i], &a);
		if (a.status != DANE_SECURE || a.n_rrs == 0 ||
			a.rrs[0].len != (types[i] == TYPE_A ? 4 : 16))
			continue;
		memcpy(to->addr, a.rrs[0].rdata, a.rrs[0].len);
		to->addr_len = a.rrs[0].len;
		to->port = port;
		return EXIT_DONE;
	}
	return found(f, "cannot_tell", EXIT_USAGE,
		"no address of %s with a proof; give one with --connect", host);
}

static int connect_to(const struct dane_resolver *to)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(to->port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(to->port) };
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	bool v4 = to->addr_len == 4;
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&a4.sin_addr, to->addr, 4);
	memcpy(&a6.sin6_addr, to->addr, 16);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, v4 ? (struct sockaddr *)&a4 : (struct sockaddr *)&a6,
		    v4 ? sizeof(a4) : sizeof(a6)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A server that wants a client certificate fails the handshake later than it shows its own. */
static int shake_hands(SSL *ssl, const struct dane_resolver *to, struct finding *f)
{
	int fd = connect_to(to), depth = -1;
	long verdict;

	if (fd < 0)
		return found(f, "cannot_tell", EXIT_USAGE,
			"cannot tell: the server cannot be reached: %s", strerror(errno));
	SSL_set_fd(ssl, fd);
	(void)SSL_connect(ssl);
	verdict = SSL_get_verify_result(ssl);
	depth = SSL_get0_dane_authority(ssl, NULL, NULL);
	if (!SSL_get0_peer_certificate(ssl))
		found(f, verdict == X509_V_OK ? "cannot_tell" : "superseded",
			verdict == X509_V_OK ? EXIT_USAGE : EXIT_REFUSED,
			verdict == X509_V_OK ? "cannot tell: no TLS handshake"
					     : "the zone names another certificate: %s",
			X509_verify_cert_error_string(verdict));
	else if (verdict == X509_V_OK && depth >= 0)
		found(f, "ok", EXIT_DONE, "the zone names %s",
			depth == 0 ? "this server's certificate or key"
				   : "the authority that signed this server's certificate");
	else
		found(f, "superseded", EXIT_REFUSED, "the zone names another certificate: %s",
			X509_verify_cert_error_string(verdict));
	ERR_clear_error();
	close(fd);
	return f->code;
}

static int try_server(struct cli *cli, struct dane *dane, const char *host, uint16_t port,
	const struct dane_answer *tlsa, struct finding *f)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct dane_resolver to = { 0 };
	struct diag d = { 0 };
	SSL *ssl = NULL;
	size_t usable = 0;
	int code = EXIT_USAGE;

	if (!ctx || dane_tls_prepare(ctx, &ssl, host, tlsa, &usable, &d) != RC_OK) {
		code = cli_error(EXIT_USAGE, "%s", d.text);
	} else if (usable == 0) {
		code = found(f, "absent", EXIT_REFUSED,
			"the zone has no TLSA record of a kind that can be used (2 and 3)");
	} else {
		code = find_address(cli, dane, host, port, &to, f);
		if (code == EXIT_DONE)
			code = shake_hands(ssl, &to, f);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return code;
}

static void say(const struct cli *cli, const struct finding *f)
{
	if (cli->json) {
		json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s}", "reason", f->reason, "asked",
			f->asked, "answered", f->answered, "proved", f->proved, "text", f->text);

		out_json(json);
		json_decref(json);
		return;
	}
	printf("%s\nasked     %s\n", strcmp(f->reason, "ok") == 0 ? "attested" : f->reason,
		f->asked);
	if (*f->answered)
		printf("answered  %s\n", f->answered);
	printf("proved    %s\n%s\n", f->proved, f->text);
}

static int ask(struct cli *cli, struct dane *dane, const char *host, uint16_t port)
{
	struct dane_answer a;
	struct finding f = { 0 };
	char name[DANE_NAME_MAX];
	int code;

	if (str_format(name, sizeof(name), "_%u._tcp.%s", port, host) != RC_OK)
		return cli_usage(cli, "the name is too long");
	dane_lookup(dane, name, DANE_TYPE_TLSA, &a);
	(void)snprintf(f.asked, sizeof(f.asked), "%s TLSA", name);
	(void)snprintf(f.proved, sizeof(f.proved), "%s: %s", dane_status_text(a.status), a.why);
	if (a.status == DANE_SECURE) {
		(void)show_tlsa(&a, f.answered, sizeof(f.answered));
		code = try_server(cli, dane, host, port, &a, &f);
	} else if (a.status == DANE_NXDOMAIN || a.status == DANE_NODATA) {
		code = found(&f, "absent", EXIT_REFUSED,
			"the zone names no certificate for this server: its operator has to "
			"publish TLSA there");
	} else {
		code = found(&f, "cannot_tell", EXIT_USAGE, "cannot tell: %s", a.why);
	}
	if (f.reason)
		say(cli, &f);
	return code;
}

int verify_host(struct cli *cli, const struct attest_options *options, const char *what)
{
	const char *colon = strrchr(what, ':');
	struct dane *dane = NULL;
	char host[DANE_NAME_MAX];
	uint64_t port = 0;
	int code;

	if (u64_read(colon + 1, 1, 65535, &port) != RC_OK ||
		str_format(host, sizeof(host), "%.*s", (int)(colon - what), what) != RC_OK)
		return cli_usage(cli, "%s: not HOST:PORT", what);
	code = make_dane(options, &dane);
	if (code == EXIT_DONE)
		code = ask(cli, dane, host, (uint16_t)port);
	dane_free(dane);
	return code;
}
