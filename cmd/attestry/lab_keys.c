/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates of the parts that are not the registry's: the resolver
 * and the providers' brokers, as those would make them for themselves. */
#include "lab.h"
#include "server_key.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_DAYS 365

enum rc lab_random_text(char *out, size_t len, const char *alphabet)
{
	size_t n = strlen(alphabet);
	/* Values at or past the last full multiple would favour the first characters. */
	unsigned limit = 256 - 256 % (unsigned)n;

	for (size_t i = 0; i < len;) {
		unsigned char b;
		if (RAND_bytes(&b, 1) != 1)
			return RC_CRYPTO;
		if (b < limit)
			out[i++] = alphabet[b % n];
	}
	out[len] = '\0';
	return RC_OK;
}

enum rc lab_sha256(const void *bytes, size_t len, unsigned char out[32])
{
	return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1 ? RC_OK : RC_CRYPTO;
}

static int bind_free(int type, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Below the ports that Linux gives of itself (32768 and up): between here and the listener's start
 * no other program gets it by connecting somewhere.
 */
enum { LAB_PORT_FIRST = 20000, LAB_PORTS = 12000 };

enum rc lab_free_port(int *port, struct diag *d)
{
	for (int tries = 0; tries < 200; tries++) {
		uint16_t random;
		int candidate, tcp, udp;

		if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
			return RC_CRYPTO;
		candidate = LAB_PORT_FIRST + random % LAB_PORTS;
		tcp = bind_free(SOCK_STREAM, candidate);
		udp = bind_free(SOCK_DGRAM, candidate);
		if (tcp >= 0)
			close(tcp);
		if (udp >= 0)
			close(udp);
		if (tcp >= 0 && udp >= 0) {
			*port = candidate;
			return RC_OK;
		}
	}
	return diag_errno(d, RC_UNAVAILABLE, "no port of 127.0.0.1 is free for both TCP and UDP");
}

enum rc lab_self_signed(const struct lab *lab, const char *folder, const char *name,
	unsigned char spki[32], struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = lab_path(lab, path, "%s/%s", folder, name);

	return rc == RC_OK ? server_key_make(path, "localhost", "DNS:localhost,IP:127.0.0.1",
				     SERVER_DAYS, spki, d)
			   : rc;
}
