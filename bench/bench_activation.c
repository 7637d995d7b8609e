/* SPDX-License-Identifier: Apache-2.0 */
/* Load on the JSON API, or on EPP: devices are put into the inventory, their profiles
 * registered, then activated with CSRs made beforehand, over kept mutual-TLS
 * connections. Before a phase, with its connections made, it prints a line and
 * waits for one on standard input, so that the caller can read the server's CPU
 * time in between; when the phase is over it prints its figures. "go RATE" makes the
 * requests come by themselves, so many a second, each timed from when it was due.
 *
 *   bench_activation HOST PORT CA MNO.pem MNO.key ASP.pem ASP.key SERVICE ZONE FIRST COUNT
 * CONNECTIONS [EPP-PORT CLID PASSWORD]
 *
 * With the last three the phases go over EPP, and checks and infos are among them.
 */
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define BODY_MAX    (1U << 20)
#define ANSWER_MAX  (1U << 16)
#define INVENTORY   500
#define CONNECTIONS 256

struct device {
	char iccid[21];
	char claim[33];
	char csr[1024]; /* base64 */
	double latency_ms;
};

struct bench {
	const char *host, *port, *service, *zone;
	SSL_CTX *mno, *asp;
	struct device *devices;
	size_t count;
	atomic_size_t next;
	atomic_size_t refused;
	const char *phase;
	double rate;	 /* requests a second that come by themselves; 0: each follows an answer */
	double began_ms; /* of the phase */
	pthread_barrier_t logged_in, go;
	const char *epp_port, *id, *password; /* NULL: JSON */
};

#define EPP_NS	   "urn:ietf:params:xml:ns:epp-1.0"
#define PROFILE_NS "urn:attestry:params:xml:ns:profile-1.0"

static void die(const char *what)
{
	fprintf(stderr, "bench_activation: %s\n", what);
	exit(1);
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static SSL_CTX *context(const char *ca, const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx || SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1 ||
		SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		die("cannot read the certificates");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return ctx;
}

static SSL *connect_tls(const struct bench *b, SSL_CTX *ctx)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *a;
	int one = 1;

	if (getaddrinfo(b->host, b->port, &hints, &a) != 0)
		die("cannot resolve the host");
	int fd = socket(a->ai_family, a->ai_socktype, 0);
	if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		die("cannot connect");
	freeaddrinfo(a);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	SSL *ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		die("TLS handshake failed");
	return ssl;
}

static void disconnect(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

static void write_all(SSL *ssl, const char *data, size_t len)
{
	if (SSL_write(ssl, data, (int)len) != (int)len)
		die("write failed");
}

/* Reads one answer; returns its status. The body's start stays in `buf`. */
static int read_answer(SSL *ssl, char *buf, size_t cap)
{
	size_t len = 0, need = 0;
	char *body = NULL;

	for (;;) {
		int n = SSL_read(ssl, buf + len, (int)(cap - 1 - len));
		if (n <= 0)
			die("connection closed");
		len += (size_t)n;
		buf[len] = '\0';
		if (!body && (body = strstr(buf, "\r\n\r\n"))) {
			const char *at = strcasestr(buf, "content-length:");
			body += 4;
			need = (size_t)(body - buf);
			for (at = at ? at + 15 : ""; *at == ' '; at++)
				;
			size_t v = 0;
			for (; *at >= '0' && *at <= '9'; at++)
				v = v * 10 + (size_t)(*at - '0');
			need += v;
			if (need >= cap)
				die("answer too long");
		}
		if (body && len >= need)
			break;
	}
	return (buf[9] - '0') * 100 + (buf[10] - '0') * 10 + (buf[11] - '0');
}

static int post(SSL *ssl, const char *path, const char *body, char *answer, char *request)
{
	size_t len = strlen(body);
	int n = snprintf(request, BODY_MAX,
		"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		path, len, body);

	if (n < 0 || (size_t)n >= BODY_MAX)
		die("request too long");
	write_all(ssl, request, (size_t)n);
	return read_answer(ssl, answer, ANSWER_MAX);
}

/* One EPP frame each way (RFC 5734); its result code as an HTTP status. */
static int epp_read(SSL *ssl, char *answer)
{
	size_t len = 0, need = 4;
	const char *code;

	while (len < need) {
		int n = SSL_read(ssl, answer + len, (int)(ANSWER_MAX - 1 - len));
		if (n <= 0)
			die("connection closed");
		len += (size_t)n;
		if (need == 4 && len >= 4)
			need = (size_t)(uint8_t)answer[0] << 24 | (size_t)(uint8_t)answer[1] << 16 |
			       (size_t)(uint8_t)answer[2] << 8 | (size_t)(uint8_t)answer[3];
		if (need >= ANSWER_MAX)
			die("answer too long");
	}
	answer[len] = '\0';
	memset(answer, ' ', 4);
	code = strstr(answer, "code=\"");
	return code && code[6] == '1' ? 200 : 500;
}

static int epp(SSL *ssl, const char *inner, char *answer, char *request)
{
	int n = snprintf(request + 4, BODY_MAX - 4,
		"<epp xmlns=\"" EPP_NS "\"><command>%s<clTRID>BENCH</clTRID></command></epp>",
		inner);

	if (n < 0 || (size_t)n >= BODY_MAX - 4)
		die("request too long");
	n += 4;
	request[0] = (char)(n >> 24);
	request[1] = (char)(n >> 16);
	request[2] = (char)(n >> 8);
	request[3] = (char)n;
	write_all(ssl, request, (size_t)n);
	return epp_read(ssl, answer);
}

static int epp_one(struct bench *b, SSL *ssl, struct device *d, char *request, char *answer)
{
	const char *verb = strcmp(b->phase, "register") == 0   ? "create"
			   : strcmp(b->phase, "activate") == 0 ? "update"
							       : b->phase;
	char more[1200] = "", inner[2000];

	if (strcmp(b->phase, "register") == 0)
		snprintf(more, sizeof(more), "<service>%s</service><claim>%s</claim>", b->service,
			d->claim);
	if (strcmp(b->phase, "activate") == 0)
		snprintf(more, sizeof(more), "<chg><state>activated</state><csr>%s</csr></chg>",
			d->csr);
	snprintf(inner, sizeof(inner),
		"<%s><%s xmlns=\"" PROFILE_NS "\"><name>1.%s</name>%s</%s></%s>", verb, verb,
		d->iccid, more, verb, verb);
	return epp(ssl, inner, answer, request);
}

static void epp_login(struct bench *b, SSL *ssl, char *request, char *answer)
{
	char inner[800];

	(void)epp_read(ssl, answer); /* the greeting */
	snprintf(inner, sizeof(inner),
		"<login><clID>%s</clID><pw>%s</pw><options><version>1.0</version><lang>en</lang>"
		"</options><svcs><objURI>" PROFILE_NS "</objURI></svcs></login>",
		b->id, b->password);
	if (epp(ssl, inner, answer, request) != 200) {
		fprintf(stderr, "%s\n", answer);
		die("login refused");
	}
}

static char luhn(const char *digits)
{
	unsigned sum = 0;
	size_t n = strlen(digits);

	for (size_t i = 0; i < n; i++) {
		unsigned v = (unsigned)(digits[n - 1 - i] - '0');
		if (i % 2 == 0 && (v *= 2) > 9)
			v -= 9;
		sum += v;
	}
	return (char)('0' + (10 - sum % 10) % 10);
}

static void make_csr(struct device *d, const char *zone)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *req = X509_REQ_new();
	X509_NAME *name = X509_NAME_new();
	unsigned char *der = NULL;
	char cn[96];
	int len = 0;

	snprintf(cn, sizeof(cn), "1.%s.%s", d->iccid, zone);
	if (!key || !req || !name ||
		X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
			(unsigned char *)cn, -1, -1, 0) != 1 ||
		X509_REQ_set_subject_name(req, name) != 1 || X509_REQ_set_pubkey(req, key) != 1 ||
		X509_REQ_sign(req, key, EVP_sha256()) <= 0 ||
		(len = i2d_X509_REQ(req, &der)) <= 0 || B64_LEN((size_t)len) > sizeof(d->csr))
		die("cannot make a CSR");
	b64_write(der, (size_t)len, d->csr);
	OPENSSL_free(der);
	X509_NAME_free(name);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
}

static void make_devices(struct bench *b, uint64_t first)
{
	for (size_t i = 0; i < b->count; i++) {
		struct device *d = &b->devices[i];
		unsigned char claim[16];
		char digits[19];

		/* A multiplication by a unit modulo 10^11 scatters the numbers: random order. */
		uint64_t scattered = (first + i) * 61803398879ULL % 100000000000ULL;
		snprintf(digits, sizeof(digits), "8912230%011llu", (unsigned long long)scattered);
		snprintf(d->iccid, sizeof(d->iccid), "%s%cf", digits, luhn(digits));
		if (RAND_bytes(claim, sizeof(claim)) != 1)
			die("no random numbers");
		hex_write(claim, sizeof(claim), d->claim);
		make_csr(d, b->zone);
	}
}

static void load_inventory(struct bench *b, char *request, char *answer)
{
	SSL *ssl = connect_tls(b, b->mno);
	char *body = malloc(BODY_MAX);

	if (!body)
		die("out of memory");
	for (size_t at = 0; at < b->count;) {
		size_t n = (size_t)snprintf(body, BODY_MAX, "{\"rows\":[");
		for (size_t i = 0; i < INVENTORY && at < b->count; i++, at++) {
			unsigned char salted[16 + 32], digest[32];
			char salt64[B64_LEN(16)], digest64[B64_LEN(32)];

			memset(salted, 7, 16);
			memcpy(salted + 16, b->devices[at].claim, 32);
			EVP_Digest(salted, sizeof(salted), digest, NULL, EVP_sha256(), NULL);
			b64_write(salted, 16, salt64);
			b64_write(digest, 32, digest64);
			n += (size_t)snprintf(body + n, BODY_MAX - n,
				"%s{\"iccid\":\"%s\",\"claim_salt\":\"%s\",\"claim_sha256\":\"%"
				"s\"}",
				i ? "," : "", b->devices[at].iccid, salt64, digest64);
		}
		snprintf(body + n, BODY_MAX - n, "]}");
		int status = post(ssl, "/v1/inventory", body, answer, request);
		if (status >= 300) {
			fprintf(stderr, "%s\n", answer);
			die("inventory refused");
		}
	}
	free(body);
	disconnect(ssl);
}

static int one(struct bench *b, SSL *ssl, struct device *d, char *request, char *answer)
{
	char path[96], body[1200];

	if (b->epp_port)
		return epp_one(b, ssl, d, request, answer);
	if (strcmp(b->phase, "register") == 0) {
		snprintf(body, sizeof(body),
			"{\"iccid\":\"%s\",\"slot\":1,\"claim\":\"%s\",\"service\":\"%s\"}",
			d->iccid, d->claim, b->service);
		return post(ssl, "/v1/profiles", body, answer, request);
	}
	/* "again": the same key and certificate, so that no signature but the zone's is made. */
	snprintf(path, sizeof(path), "/v1/profiles/1.%s/%s", d->iccid,
		strcmp(b->phase, "withdraw") == 0 ? "deactivate" : "activate");
	if (strcmp(b->phase, "activate") == 0)
		snprintf(body, sizeof(body), "{\"csr\":\"%s\"}", d->csr);
	else
		snprintf(body, sizeof(body), "{}");
	return post(ssl, path, body, answer, request);
}

/* When request i is due; a late answer to one does not excuse the next. */
static double await_turn(const struct bench *b, size_t i)
{
	double now = now_ms(), due = b->began_ms + (double)i * 1e3 / b->rate;

	if (due > now) {
		uint64_t ns = (uint64_t)((due - now) * 1e6);
		struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u),
			.tv_nsec = (long)(ns % 1000000000u) };

		nanosleep(&t, NULL);
	}
	return due;
}

static void *work(void *user)
{
	struct bench *b = user;
	SSL *ssl = connect_tls(b, b->asp);
	char *request = malloc(BODY_MAX), *answer = malloc(ANSWER_MAX);

	if (!request || !answer)
		die("out of memory");
	if (b->epp_port)
		epp_login(b, ssl, request, answer);
	pthread_barrier_wait(&b->logged_in);
	pthread_barrier_wait(&b->go);
	for (size_t i; (i = atomic_fetch_add(&b->next, 1)) < b->count;) {
		double start = b->rate > 0 ? await_turn(b, i) : now_ms();
		int status = one(b, ssl, &b->devices[i], request, answer);

		b->devices[i].latency_ms = now_ms() - start;
		if (status < 200 || status > 201) {
			if (atomic_fetch_add(&b->refused, 1) == 0)
				fprintf(stderr, "refused: %s\n", answer);
		}
	}
	free(request);
	free(answer);
	disconnect(ssl);
	return NULL;
}

static int by_latency(const void *a, const void *b)
{
	double x = ((const struct device *)a)->latency_ms,
	       y = ((const struct device *)b)->latency_ms;

	return x < y ? -1 : x > y;
}

static void phase(struct bench *b, const char *name, size_t connections)
{
	pthread_t threads[CONNECTIONS];
	char line[32];
	double took;

	atomic_store(&b->next, 0);
	atomic_store(&b->refused, 0);
	b->phase = name;
	if (pthread_barrier_init(&b->logged_in, NULL, (unsigned)connections + 1) != 0 ||
		pthread_barrier_init(&b->go, NULL, (unsigned)connections + 1) != 0)
		die("no barrier");
	for (size_t i = 0; i < connections; i++)
		if (pthread_create(&threads[i], NULL, work, b) != 0)
			die("cannot start a thread");
	/* Connections are long-lived: handshakes and log-ins are no part of an operation. */
	pthread_barrier_wait(&b->logged_in);
	printf("{\"ready\":\"%s\"}\n", name);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		die("no word to go on");
	b->rate = strncmp(line, "go ", 3) == 0 ? strtod(line + 3, NULL) : 0;
	b->began_ms = now_ms();
	pthread_barrier_wait(&b->go);
	for (size_t i = 0; i < connections; i++)
		pthread_join(threads[i], NULL);
	took = now_ms() - b->began_ms;
	pthread_barrier_destroy(&b->logged_in);
	pthread_barrier_destroy(&b->go);
	struct device *sorted = malloc(b->count * sizeof(*sorted));
	if (!sorted)
		die("out of memory");
	memcpy(sorted, b->devices, b->count * sizeof(*sorted));
	qsort(sorted, b->count, sizeof(*sorted), by_latency);
	printf("{\"done\":\"%s\",\"count\":%zu,\"refused\":%zu,\"seconds\":%.3f,\"p50_ms\":%.3f,"
	       "\"p99_ms\":%.3f}\n",
		name, b->count, atomic_load(&b->refused), took / 1e3,
		sorted[b->count / 2].latency_ms, sorted[b->count * 99 / 100].latency_ms);
	fflush(stdout);
	free(sorted);
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	uint64_t first = 0, count = 0, connections = 0;

	if ((argc != 13 && argc != 16) || u64_read(argv[10], 0, 99999999999ULL, &first) != RC_OK ||
		u64_read(argv[11], 1, 1000000, &count) != RC_OK ||
		u64_read(argv[12], 1, CONNECTIONS, &connections) != RC_OK)
		die("HOST PORT CA MNO.pem MNO.key ASP.pem ASP.key SERVICE ZONE FIRST COUNT "
		    "CONNECTIONS [EPP-PORT CLID PASSWORD]");
	b.host = argv[1];
	b.port = argv[2];
	b.mno = context(argv[3], argv[4], argv[5]);
	b.asp = context(argv[3], argv[6], argv[7]);
	b.service = argv[8];
	b.zone = argv[9];
	b.count = count;
	b.devices = calloc(count, sizeof(*b.devices));
	char *request = malloc(BODY_MAX), *answer = malloc(ANSWER_MAX);
	if (!b.devices || !request || !answer)
		die("out of memory");
	make_devices(&b, first);
	load_inventory(&b, request, answer);
	if (argc == 16) {
		b.epp_port = argv[13];
		b.port = b.epp_port;
		b.id = argv[14];
		b.password = argv[15];
	}
	phase(&b, "register", connections);
	if (b.epp_port) {
		phase(&b, "check", connections);
		phase(&b, "info", connections);
	}
	phase(&b, "activate", connections);
	if (!b.epp_port) {
		phase(&b, "withdraw", connections);
		phase(&b, "again", connections);
	}
	free(request);
	free(answer);
	free(b.devices);
	SSL_CTX_free(b.mno);
	SSL_CTX_free(b.asp);
	return 0;
}
