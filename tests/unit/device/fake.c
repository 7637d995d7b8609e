/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

struct reply {
	uint8_t data[512];
	size_t len;
};

static const uint8_t EID[16] = { 0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34,
	0x56, 0x78, 0x90, 0x12, 0x35 };

static void sw(struct reply *r, unsigned v)
{
	r->data[r->len++] = (uint8_t)(v >> 8);
	r->data[r->len++] = (uint8_t)v;
}

static void add(struct reply *r, const void *bytes, size_t len)
{
	memcpy(r->data + r->len, bytes, len);
	r->len += len;
}

static void sign_raw(EVP_PKEY *key, const uint8_t digest[32], uint8_t raw[64])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	uint8_t der[80];
	const uint8_t *at = der;
	size_t len = sizeof(der);
	ECDSA_SIG *sig;

	assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
	assert_int_equal(EVP_PKEY_sign(ctx, der, &len, digest, 32), 1);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	ECDSA_SIG_free(sig);
	EVP_PKEY_CTX_free(ctx);
}

static void agree(EVP_PKEY *own, const uint8_t peer[65], uint8_t x[32])
{
	EVP_PKEY *pub = EVP_PKEY_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	size_t len = 32;

	assert_int_equal(EVP_PKEY_copy_parameters(pub, own), 1);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(pub, peer, 65), 1);
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, pub), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, x, &len), 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pub);
}

static const struct fake_file *find(const struct fake *f, uint8_t id)
{
	for (size_t i = 0; i < f->files_len; i++)
		if (f->files[i].id == id)
			return &f->files[i];
	return NULL;
}

/* The id of an object as the card writes it. */
static void put_id(const struct fake *f, uint8_t tag, uint8_t id, struct reply *r)
{
	const uint8_t name[] = { tag, 3, 0x30, tag == 0x85 ? 0x31 : 0x30, id };
	const uint8_t one[] = { tag, 1, id };

	add(r, f->long_ids ? name : one, f->long_ids ? sizeof(name) : sizeof(one));
}

static void file_info(const struct fake *f, const struct fake_file *file, struct reply *r)
{
	const uint8_t info[] = { 0x60, 1, 1, 0x4a, 1, 1, 0x20, 2, (uint8_t)(file->len >> 8),
		(uint8_t)file->len, 0x21, 1, 2 };
	size_t at = r->len;

	add(r, "\xc3\0\x73\4file", 8);
	put_id(f, 0x83, file->id, r);
	add(r, info, sizeof(info));
	r->data[at + 1] = (uint8_t)(r->len - at - 2);
}

static void key_info(const struct fake *f, uint8_t wrap, uint8_t id, uint8_t access,
	uint8_t functions, struct reply *r)
{
	const uint8_t info[] = { 0x60, 1, access, 0x4a, 1, 1, 0x4b, 1, 0x13, 0x4e, 1, 1, 0x61, 1,
		functions };
	const uint8_t head[] = { wrap, 0, (uint8_t)(wrap - 0xc1 + 0x74), 3, 'k', 'e', 'y' };
	size_t at = r->len;

	add(r, head, sizeof(head));
	put_id(f, (uint8_t)(wrap - 0xc1 + 0x84), id, r);
	add(r, info, sizeof(info));
	r->data[at + 1] = (uint8_t)(r->len - at - 2);
}

/* Long names as the rest of this card knows them; false when one is not the card's. */
static bool shorten(const struct fake *f, uint8_t *a, size_t *n)
{
	uint8_t out[300];
	size_t at = 5, len = 5;

	if (!f->long_ids || *n < 8 || !strchr("\xcb\xb0\xcd\x2a\x24\x46", a[1]) ||
		(a[1] == 0xcb && a[2] == 1))
		return true;
	memcpy(out, a, 5);
	while (at + 2 <= 5U + a[4]) {
		uint8_t tag = a[at], size = a[at + 1];
		bool name = tag >= 0x83 && tag <= 0x85;
		if (name && (size != 3 || a[at + 2] != 0x30 ||
				    a[at + 3] != (tag == 0x85 ? 0x31 : 0x30)))
			return false;
		out[len++] = tag;
		out[len++] = name ? 1 : size;
		memcpy(out + len, a + at + (name ? 4 : 2), name ? 1 : size);
		len += name ? 1 : size;
		at += 2U + size;
	}
	out[4] = (uint8_t)(len - 5);
	while (at < *n)
		out[len++] = a[at++];
	memcpy(a, out, len);
	*n = len;
	return true;
}

static void get_data(struct fake *f, const uint8_t *a, size_t n, struct reply *r)
{
	if (a[2] == 0x01) {
		struct reply all = { .len = 0 };
		key_info(f, 0xc1, 1, 1, 0x01, &all);
		key_info(f, 0xc2, 1, 1, 0x01, &all);
		if (f->agree_key && f->lists_agree_key) {
			key_info(f, 0xc1, 0x0b, 1, 0x04, &all);
			key_info(f, 0xc2, 0x0b, 1, 0x04, &all);
		}
		if (f->long_ids)
			key_info(f, 0xc2, 5, 3, 0, &all);
		for (size_t i = 0; i < f->files_len; i++)
			file_info(f, &f->files[i], &all);
		if (!f->list_in_parts) {
			add(r, all.data, all.len);
			sw(r, 0x9000);
			return;
		}
		size_t from = a[3] == 0 ? 0 : (size_t)f->list_at;
		size_t part = all.len - from < 17 ? all.len - from : 17;
		add(r, all.data + from, part);
		f->list_at = (int)(from + part);
		sw(r, from + part == all.len ? 0x9000 : 0x6300);
		return;
	}
	const struct fake_file *file = n >= 8 && a[2] == 0xc3 ? find(f, a[7]) : NULL;
	if (!file) {
		sw(r, 0x6a82);
		return;
	}
	file_info(f, file, r);
	sw(r, 0x9000);
}

static void read_file(struct fake *f, const uint8_t *a, size_t n, struct reply *r)
{
	const struct fake_file *file = n >= 8 ? find(f, a[7]) : NULL;
	size_t at = (size_t)a[2] << 8 | a[3], le = n > 8 && a[8] ? a[8] : 255;

	if (!file || at > file->len) {
		sw(r, file ? 0x6a86 : 0x6a82);
		return;
	}
	add(r, file->bytes + at, file->len - at < le ? file->len - at : le);
	sw(r, 0x9000);
}

static void public_key(const struct fake *f, uint8_t id, struct reply *r)
{
	static const uint8_t head[] = { 0x34, 0x45, 0x49, 0x43, 0x86, 0x41 };
	EVP_PKEY *key = id == 1 ? f->sign_key : id == 0x0b ? f->agree_key : NULL;
	uint8_t point[65];
	size_t len = 0;

	if (!key) {
		sw(r, 0x6a82);
		return;
	}
	assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, 65, &len), 1);
	add(r, head, sizeof(head));
	add(r, point, 65);
	sw(r, 0x9000);
}

/* Returns false when the card is to hang up. */
static bool sign_update(struct fake *f, const uint8_t *a, size_t n, struct reply *r)
{
	uint8_t raw[64];

	if (f->session_stuck && a[2] == 0x90) {
		f->session_stuck = false;
		sw(r, 0x9000);
		return true;
	}
	if (!f->session_open || n < 5 + 34 || a[5] != 0x9e || a[6] != 32) {
		sw(r, 0x6985);
		return true;
	}
	if (atomic_load(&f->die_at_sign) > 0 && atomic_fetch_sub(&f->die_at_sign, 1) == 1)
		return false;
	f->session_open = false;
	atomic_fetch_add(&f->signatures, 1);
	sign_raw(f->sign_key, a + 7, raw);
	add(r, f->long_sig ? "\x33\x00\x40" : "\x33\x40", f->long_sig ? 3 : 2);
	add(r, raw, 64);
	sw(r, 0x9000);
	return true;
}

static void sign_init(struct fake *f, const uint8_t *a, size_t n, struct reply *r)
{
	static const uint8_t want[] = { 0x84, 1, 1, 0xa1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4 };

	if (a[2] == 1) {
		f->session_open = false;
		f->session_stuck = f->session_stuck && f->stuck_hard;
		sw(r, 0x9000);
	} else if (f->session_stuck) {
		sw(r, 0x6a86);
	} else if (atomic_load(&f->blocked)) {
		sw(r, 0x6985);
	} else if (n < 5 + sizeof(want) || memcmp(a + 5, want, sizeof(want)) != 0) {
		sw(r, 0x6a80);
	} else {
		f->session_open = true;
		sw(r, 0x9000);
	}
}

static bool applet(struct fake *f, const uint8_t *a, size_t n, struct reply *r)
{
	switch (a[1]) {
	case 0xcb: get_data(f, a, n, r); break;
	case 0xb0: read_file(f, a, n, r); break;
	case 0xcd: public_key(f, n >= 8 ? a[7] : 0, r); break;
	case 0x2a: sign_init(f, a, n, r); break;
	case 0x2b: return sign_update(f, a, n, r);
	case 0x24: sw(r, 0x9000); break;
	case 0xd8:
		f->has_peer = n >= 5 + 71;
		if (f->has_peer)
			memcpy(f->peer, a + 5 + 6, 65);
		sw(r, f->has_peer ? 0x9000 : 0x6a80);
		break;
	case 0x46:
		if (!f->has_peer || n < 11 || a[7] != 0x0b) {
			sw(r, 0x6985);
			break;
		}
		agree(f->agree_key, f->peer, r->data);
		r->len = 32;
		sw(r, 0x9000);
		break;
	case 0x84:
		for (size_t i = 0; i < a[4]; i++)
			r->data[r->len++] = (uint8_t)(i * 7 + 1);
		sw(r, 0x9000);
		break;
	default: sw(r, 0x6d00);
	}
	return true;
}

static void manage(struct fake *f, const uint8_t *a, struct reply *r)
{
	if (a[2] == 0x80) {
		f->channels[a[3] & 3] = f->selected[a[3] & 3] = false;
		sw(r, 0x9000);
		return;
	}
	for (uint8_t c = 1; c < 4 && !f->no_channels; c++) {
		if (f->channels[c])
			continue;
		f->channels[c] = true;
		f->selected[c] = false;
		r->data[r->len++] = c;
		sw(r, 0x9000);
		return;
	}
	sw(r, 0x6a81);
}

static void select_file(struct fake *f, const uint8_t *a, size_t n, struct reply *r)
{
	static const uint8_t aid[] = { 0xa0, 0, 0, 2, 0x48, 4, 0 };
	static const uint8_t isdr[] = { 0xa0, 0, 0, 5, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff, 0xff,
		0x89, 0, 0 };
	unsigned ch = a[0] & 3;

	f->other[ch] = 0;
	if (a[2] == 4 && n >= 21 && a[4] == 16 && memcmp(a + 5, isdr, sizeof(isdr)) == 0 &&
		!f->no_euicc && (a[19] == 2) == f->m2m_euicc) {
		f->selected[ch] = false;
		f->other[ch] = a[19] == 1 ? 'r' : 'c';
		sw(r, 0x9000);
	} else if (a[2] == 4 && n >= 5 + sizeof(aid) && a[4] == sizeof(aid) &&
		   memcmp(a + 5, aid, sizeof(aid)) == 0) {
		f->selected[ch] = true;
		sw(r, 0x9000);
	} else if (a[2] == 0 && n >= 7) {
		f->selected[ch] = false;
		sw(r, 0x9000);
	} else {
		sw(r, 0x6a82);
	}
}

static bool command(struct fake *f, uint8_t *a, size_t n, struct reply *r)
{
	unsigned ch = a[0] & 3;

	atomic_fetch_add(&f->exchanges, 1);
	(void)poll(NULL, 0, (int)atomic_load(&f->slow_ms));
	if (atomic_exchange(&f->reset, false)) {
		memset(f->channels, 0, sizeof(f->channels));
		memset(f->selected, 0, sizeof(f->selected));
	}
	if (n < 4 || (ch > 0 && !f->channels[ch])) {
		sw(r, n < 4 ? 0x6700 : 0x6881);
		return true;
	}
	if (a[1] == 0xc0) {
		add(r, f->pending, f->pending_len);
		f->pending_len = 0;
		sw(r, 0x9000);
		return true;
	}
	if (a[1] == 0x70) {
		manage(f, a, r);
	} else if (a[1] == 0xa4) {
		select_file(f, a, n, r);
	} else if (f->other[ch] == 'r' && a[0] >> 4 == 8 && a[1] == 0xe2 && n >= 11) {
		add(r, "\xbf\x3e\x12\x5a\x10", 5);
		add(r, EID, 16);
		sw(r, 0x9000);
	} else if (f->other[ch] == 'c' && a[1] == 0xca && a[3] == 0x5a) {
		add(r, "\x5a\x10", 2);
		add(r, EID, 16);
		sw(r, 0x9000);
	} else if (!f->selected[ch] && a[1] == 0xb0) {
		add(r, f->iccid, sizeof(f->iccid));
		sw(r, 0x9000);
	} else if (!f->selected[ch]) {
		sw(r, 0x6d00);
	} else if (!shorten(f, a, &n)) {
		sw(r, 0x6a80);
	} else if (!applet(f, a, n, r)) {
		return false;
	}
	if (f->use_61 && r->len > 2 && r->data[r->len - 2] == 0x90 && a[1] != 0x70) {
		f->pending_len = r->len - 2;
		memcpy(f->pending, r->data, f->pending_len);
		r->len = 0;
		sw(r, 0x6100 | (unsigned)(f->pending_len & 0xff));
	}
	return true;
}

static bool read_some(struct fake *f, int fd, uint8_t *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			{ .fd = f->stop[0], .events = POLLIN } };
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return false;
		if (p[1].revents)
			return false;
		if (p[0].revents & POLLIN) {
			ssize_t n = read(fd, buf + got, len - got);
			if (n <= 0)
				return false;
			got += (size_t)n;
		} else if (p[0].revents) {
			return false;
		}
	}
	return true;
}

static void say(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(fd, text, left);
		if (n <= 0)
			return;
		text += n;
		left -= (size_t)n;
	}
}

/* One AT line. Returns false when the modem is to vanish. */
static bool at_line(struct fake *f, const char *line)
{
	char out[1200] = "", hex[1100];
	uint8_t apdu[300];
	struct reply r = { .len = 0 };
	unsigned digits;
	size_t n = 0;

	if (f->echo) {
		say(f->fd, line);
		say(f->fd, "\r\r\n");
	}
	if (atomic_load(&f->mute))
		return true;
	if (strcmp(line, "AT") == 0) {
		say(f->fd, "\r\nOK\r\n");
		return true;
	}
	if (strcmp(line, "AT+CFUN=1,1") == 0) {
		atomic_store(&f->hang, false);
		atomic_store(&f->reset, true);
		atomic_fetch_add(&f->resets, 1);
		say(f->fd, "\r\nOK\r\n\r\nRDY\r\n");
		return true;
	}
	if (atomic_load(&f->hang) && strncmp(line, "AT+CSIM", 7) == 0)
		return true;
	if (strcmp(line, "AT+CCID") == 0 && !f->no_ccid) {
		say(f->fd, "\r\n+CCID: 8912230200031010008f\r\n\r\nOK\r\n");
		return true;
	}
	if (sscanf(line, "AT+CSIM=%u,\"%1000[0-9a-f]\"", &digits, hex) != 2 ||
		strlen(hex) != digits) {
		say(f->fd, "\r\nERROR\r\n");
		return true;
	}
	for (; n < digits / 2; n++) {
		unsigned v;
		(void)sscanf(hex + 2 * n, "%2x", &v);
		apdu[n] = (uint8_t)v;
	}
	if (!command(f, apdu, n, &r))
		return false;
	if (f->noise)
		say(f->fd, "\r\n+CREG: 1\r\n\r\nRING\r\n");
	for (size_t i = 0; i < r.len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02X", r.data[i]);
	(void)snprintf(out, sizeof(out),
		f->no_quotes ? "\r\n+CSIM: %zu,%s\r\n" : "\r\n+CSIM: %zu,\"%s\"\r\n", 2 * r.len,
		atomic_load(&f->bad_answer) ? "zz" : hex);
	say(f->fd, out);
	say(f->fd, f->noise ? "\r\n+CMTI: \"SM\",1\r\n\r\nOK\r\n" : "\r\nOK\r\n");
	return true;
}

static void *modem(void *arg)
{
	struct fake *f = arg;
	char line[1200];
	size_t len = 0;
	uint8_t b;

	while (read_some(f, f->fd, &b, 1)) {
		if (b == '\r' || b == '\n') {
			line[len] = '\0';
			if (len > 0 && !at_line(f, line))
				break;
			len = 0;
		} else if (len < sizeof(line) - 1) {
			line[len++] = (char)b;
		}
	}
	close(f->fd);
	f->fd = -1;
	return NULL;
}

static void serve(struct fake *f, int fd)
{
	uint8_t head[2], apdu[300];

	while (read_some(f, fd, head, 2)) {
		size_t n = (size_t)head[0] << 8 | head[1];
		struct reply r = { .len = 0 };
		if (n > sizeof(apdu) || !read_some(f, fd, apdu, n))
			break;
		if (atomic_load(&f->mute))
			continue;
		if (!command(f, apdu, n, &r))
			break;
		head[0] = (uint8_t)(r.len >> 8);
		head[1] = (uint8_t)r.len;
		if (atomic_load(&f->bad_answer))
			head[0] = 0xff;
		if (send(fd, head, 2, MSG_NOSIGNAL) != 2 ||
			send(fd, r.data, r.len, MSG_NOSIGNAL) != (ssize_t)r.len)
			break;
	}
}

static void *listener(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		struct pollfd p[2] = { { .fd = f->listener, .events = POLLIN },
			{ .fd = f->stop[0], .events = POLLIN } };
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		int fd = accept(f->listener, NULL, NULL);
		if (fd < 0)
			break;
		memset(f->channels, 0, sizeof(f->channels));
		serve(f, fd);
		close(fd);
	}
	return NULL;
}

void fake_start(struct fake *f)
{
	f->session_stuck = f->stuck_session;
	f->fd = f->listener = -1;
	assert_int_equal(pipe(f->stop), 0);
	if (f->modem) {
		struct termios t;
		int slave;
		char name[64];
		memset(&t, 0, sizeof(t));
		cfmakeraw(&t);
		assert_int_equal(openpty(&f->fd, &slave, name, &t, NULL), 0);
		(void)snprintf(f->card, sizeof(f->card), "tty:%s", name);
		f->list_at = 0;
		/* The slave stays open so that the master does not see a hang-up between users. */
		f->listener = slave;
		assert_int_equal(pthread_create(&f->thread, NULL, modem, f), 0);
		return;
	}
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	(void)snprintf(
		f->path, sizeof(f->path), "/tmp/attestry-fake-%d-%p", (int)getpid(), (void *)f);
	memcpy(a.sun_path, f->path, strlen(f->path) + 1);
	(void)snprintf(f->card, sizeof(f->card), "socket:%s", f->path);
	unlink(f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, listener, f), 0);
}

void fake_stop(struct fake *f)
{
	assert_int_equal(write(f->stop[1], "x", 1), 1);
	pthread_join(f->thread, NULL);
	close(f->stop[0]);
	close(f->stop[1]);
	if (f->listener >= 0)
		close(f->listener);
	if (!f->modem)
		unlink(f->path);
}

static void extension(X509 *x, X509 *ca, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

X509 *fake_cert(EVP_PKEY *key, const char *cn, EVP_PKEY *ca_key, X509 *ca)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ca ? 2 : 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0);
	X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : name);
	X509_set_pubkey(x, key);
	if (!ca)
		extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(x, ca_key ? ca_key : key, EVP_sha256()) > 0);
	return x;
}
