/* SPDX-License-Identifier: Apache-2.0 */
#include "device/apply.h"

#include "base/file.h"
#include "base/str.h"
#include "payload/show.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_ROOT	      6
#define N_ISSUING     7
#define NAME_LEN      32 /* of a payload's folder */
#define WPA_MIN	      8	 /* a passphrase; 64 digits are the key itself */
#define WPA_MAX	      63
#define WPA_ROUNDS    4096 /* IEEE 802.11-2020 annex J.4 */
#define VERSION_FORMS "0123456789abcdef-"

/* A growing text and the file it becomes. */
struct text {
	FILE *f;
	char *at;
	size_t len;
};

static enum rc text_open(struct text *t)
{
	*t = (struct text){ 0 };
	t->f = open_memstream(&t->at, &t->len);
	return t->f ? RC_OK : RC_NOMEM;
}

/* Writes and frees it; `rc` is what making it came to. */
static enum rc text_close(struct text *t, enum rc rc, const char *folder, const char *name,
	mode_t mode, struct diag *d)
{
	char path[PATH_MAX];

	if (!t->f)
		return rc;
	if (fclose(t->f) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = str_format(path, sizeof(path), "%s/%s", folder, name);
	if (rc == RC_OK)
		rc = file_write_atomic(path, t->at, t->len, mode, d);
	if (t->at)
		OPENSSL_cleanse(t->at, t->len);
	free(t->at);
	return rc;
}

/* Letters, digits, '-', '_' and dots: nothing that a configuration file reads as more than a name.
 */
static enum rc name_copy(
	struct payload_bytes from, char *out, size_t cap, const char *what, struct diag *d)
{
	if (payload_text_copy(from, out, cap) != RC_OK || !*out)
		return diag_set(d, RC_MALFORMED, "payload: %s: no name", what);
	for (const char *c = out; *c; c++)
		if (!isascii((unsigned char)*c) ||
			(!isalnum((unsigned char)*c) && !strchr("-_.", *c)))
			return diag_set(d, RC_MALFORMED, "payload: %s: not a host name", what);
	return RC_OK;
}

static enum rc write_service(const struct self *self, const char *folder, struct diag *d)
{
	json_t *o = payload_json(&self->payload);
	struct text t = { 0 };
	enum rc rc = o ? text_open(&t) : RC_NOMEM;

	if (rc == RC_OK && (json_object_set_new(o, "owner", json_string(self->owner)) != 0 ||
				   json_dumpf(o, t.f, JSON_INDENT(2) | JSON_SORT_KEYS) != 0))
		rc = RC_NOMEM;
	if (rc == RC_OK)
		(void)fputc('\n', t.f);
	json_decref(o);
	return text_close(&t, rc, folder, "service.json", 0644, d);
}

static enum rc put_pem(FILE *f, const uint8_t *der, size_t len, struct diag *d)
{
	const uint8_t *at = der;
	X509 *x = d2i_X509(NULL, &at, (long)len);
	enum rc rc = x && PEM_write_X509(f, x) == 1
			     ? RC_OK
			     : diag_set(d, RC_MALFORMED, "a certificate of the card");

	X509_free(x);
	return rc;
}

static enum rc write_certificates(
	struct iotsafe *card, const struct self *self, const char *folder, struct diag *d)
{
	static const unsigned numbers[] = { N_ISSUING, N_ROOT };
	uint8_t der[SELF_CERT_MAX];
	struct text t;
	enum rc rc = text_open(&t);

	if (rc == RC_OK)
		rc = put_pem(t.f, self->cert, self->cert_len, d);
	rc = text_close(&t, rc, folder, "device.pem", 0644, d);
	if (rc == RC_OK)
		rc = text_open(&t);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(numbers) && rc == RC_OK; i++) {
		size_t len = 0;
		rc = self_card_error(card,
			iotsafe_read_file(card, iotsafe_container(self->slot, numbers[i]), der,
				sizeof(der), &len),
			d);
		if (rc == RC_OK)
			rc = put_pem(t.f, der, len, d);
	}
	return text_close(&t, rc, folder, "ca.pem", 0644, d);
}

static enum rc write_anchors(const struct payload *p, const char *folder, struct diag *d)
{
	struct text t;
	enum rc rc = text_open(&t);

	for (size_t i = 0; rc == RC_OK && i < p->anchors_len; i++) {
		const struct payload_anchor *a = &p->anchors[i];
		char name[256], hex[2 * 64 + 1];
		rc = name_copy(a->name, name, sizeof(name), "trust anchor", d);
		if (rc == RC_OK && a->digest.len > 64)
			rc = diag_set(d, RC_TOO_LARGE, "payload: trust anchor: digest");
		if (rc != RC_OK)
			break;
		hex_write(a->digest.at, a->digest.len, hex);
		(void)fprintf(t.f, "%s%s IN DS %u %u %u %s\n", name,
			strcmp(name, ".") == 0 ? "" : ".", a->tag, a->alg, a->digest_type, hex);
	}
	return text_close(&t, rc, folder, "anchors.ds", 0644, d);
}

static enum rc put_resolver(FILE *f, const struct payload_resolver *r, struct diag *d)
{
	char name[256], addr[INET6_ADDRSTRLEN], pin[B64_LEN(PAYLOAD_HASH_LEN)];
	enum rc rc = name_copy(r->name, name, sizeof(name), "resolver", d);

	if (rc != RC_OK)
		return rc;
	if (!inet_ntop(r->addr.len == 4 ? AF_INET : AF_INET6, r->addr.at, addr, sizeof(addr)))
		return diag_set(d, RC_MALFORMED, "payload: resolver: address");
	(void)fprintf(f, "  - address_data: %s\n    tls_port: %u\n    tls_auth_name: \"%s\"\n",
		addr, r->port, name);
	if (r->pins_len > 0)
		(void)fputs("    tls_pubkey_pinset:\n", f);
	for (size_t i = 0; i < r->pins_len; i++) {
		b64_write(r->pins[i], PAYLOAD_HASH_LEN, pin);
		(void)fprintf(f, "      - digest: \"sha256\"\n        value: %s\n", pin);
	}
	return RC_OK;
}

static enum rc write_resolvers(const struct payload *p, const char *folder, struct diag *d)
{
	struct text t;
	enum rc rc = text_open(&t);

	if (rc == RC_OK)
		(void)fputs("resolution_type: GETDNS_RESOLUTION_STUB\n"
			    "dns_transport_list:\n  - GETDNS_TRANSPORT_TLS\n"
			    "tls_authentication: GETDNS_AUTHENTICATION_REQUIRED\n"
			    "listen_addresses:\n  - 127.0.0.1\n"
			    "upstream_recursive_servers:\n",
			t.f);
	for (size_t i = 0; rc == RC_OK && i < p->resolvers_len; i++)
		rc = put_resolver(t.f, &p->resolvers[i], d);
	return text_close(&t, rc, folder, "stubby.yml", 0644, d);
}

/* WPA2: the key, so that the passphrase stands nowhere; WPA3 needs the passphrase itself. */
static enum rc put_secret(FILE *f, const struct payload_wifi *w, struct diag *d)
{
	uint8_t key[32];
	char hex[65];

	for (size_t i = 0; i < w->passphrase_len; i++)
		if ((unsigned char)w->passphrase[i] < ' ' || w->passphrase[i] == 0x7f)
			return diag_set(d, RC_MALFORMED, "payload: Wi-Fi: control character");
	if (w->security == PAYLOAD_WIFI_WPA3_SAE) {
		(void)fprintf(f, "\tkey_mgmt=SAE\n\tieee80211w=2\n\tsae_password=\"%.*s\"\n",
			(int)w->passphrase_len, w->passphrase);
		return RC_OK;
	}
	if (w->passphrase_len < WPA_MIN || w->passphrase_len > WPA_MAX)
		return diag_set(
			d, RC_RANGE, "payload: Wi-Fi: a passphrase of WPA2 has 8 to 63 characters");
	if (PKCS5_PBKDF2_HMAC_SHA1(w->passphrase, (int)w->passphrase_len, w->ssid, (int)w->ssid_len,
		    WPA_ROUNDS, sizeof(key), key) != 1)
		return RC_CRYPTO;
	hex_write(key, sizeof(key), hex);
	(void)fprintf(f, "\tkey_mgmt=WPA-PSK\n\tpsk=%s\n", hex);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(hex, sizeof(hex));
	return RC_OK;
}

static enum rc write_wifi(
	struct iotsafe *card, const struct self *self, const char *folder, struct diag *d)
{
	char ssid[2 * PAYLOAD_SSID_MAX + 1];
	struct payload_wifi w;
	struct text t = { 0 };
	enum rc rc;

	if (!self->payload.wifi.at)
		return RC_OK;
	rc = self_wifi(card, self, &w, d);
	if (rc != RC_OK)
		return rc;
	rc = text_open(&t);
	if (rc == RC_OK) {
		hex_write(w.ssid, w.ssid_len, ssid);
		(void)fprintf(t.f, "network={\n\tssid=%s\n", ssid);
		if (w.security == PAYLOAD_WIFI_OPEN)
			(void)fputs("\tkey_mgmt=NONE\n", t.f);
		else
			rc = put_secret(t.f, &w, d);
		(void)fputs("}\n", t.f);
	}
	payload_wifi_wipe(&w);
	return text_close(&t, rc, folder, "wpa_supplicant.conf", 0600, d);
}

/* Only folders that we have made are ours to remove. */
static bool is_version(const char *name)
{
	return isdigit((unsigned char)name[0]) && strchr(name, '-') &&
	       strspn(name, VERSION_FORMS) == strlen(name);
}

static void remove_version(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(fd, e->d_name, 0);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	(void)unlinkat(dir, name, AT_REMOVEDIR);
}

/* All but `keep` (NULL: all). */
static void remove_versions(const char *dir, const char *keep)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (is_version(e->d_name) && (!keep || strcmp(e->d_name, keep) != 0))
			remove_version(dirfd(d), e->d_name);
	if (d)
		closedir(d);
}

/* DIR/current in one step, on disk before it counts. */
static enum rc point_at(const char *dir, const char *name, struct diag *d)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rc rc = RC_OK;

	if (fd < 0)
		return diag_errno(d, RC_IO, "%s", dir);
	(void)unlinkat(fd, ".current", 0);
	if (symlinkat(name, fd, ".current") != 0 || renameat(fd, ".current", fd, "current") != 0 ||
		fsync(fd) != 0)
		rc = diag_errno(d, RC_IO, "%s/current", dir);
	close(fd);
	return rc;
}

enum rc apply_write(struct iotsafe *card, const struct self *self, const char *dir, struct diag *d)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	char name[NAME_LEN], hex[9], folder[PATH_MAX];
	enum rc rc;

	SHA256(self->cose, self->cose_len, hash);
	hex_write(hash, 4, hex);
	rc = str_format(
		name, sizeof(name), "%llu-%s", (unsigned long long)self->payload.sequence, hex);
	if (rc == RC_OK)
		rc = str_format(folder, sizeof(folder), "%s/%s", dir, name);
	if (rc != RC_OK)
		return rc;
	if ((mkdir(dir, 0755) != 0 && errno != EEXIST) ||
		(mkdir(folder, 0755) != 0 && errno != EEXIST))
		return diag_errno(d, RC_IO, "%s", folder);
	rc = write_service(self, folder, d);
	if (rc == RC_OK)
		rc = write_certificates(card, self, folder, d);
	if (rc == RC_OK)
		rc = write_anchors(&self->payload, folder, d);
	if (rc == RC_OK)
		rc = write_resolvers(&self->payload, folder, d);
	if (rc == RC_OK)
		rc = write_wifi(card, self, folder, d);
	if (rc == RC_OK)
		rc = point_at(dir, name, d);
	if (rc == RC_OK)
		remove_versions(dir, name);
	return rc;
}

enum rc apply_remove(const char *dir, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = str_format(path, sizeof(path), "%s/current", dir);

	if (rc == RC_OK && unlink(path) != 0 && errno != ENOENT)
		rc = diag_errno(d, RC_IO, "%s", path);
	if (rc == RC_OK)
		remove_versions(dir, NULL);
	return rc;
}
