/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hex.h"
#include "base/str.h"
#include "device/device__.h"
#include "device/pkcs11/p11__.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define USAGE_X509	  2
#define ACCESS_UPDATE	  0x02
#define FUNCTION_SIGN	  0x01
#define FUNCTION_AGREE	  0x04
#define KEY_P256	  0x13
#define KEY_P256_VOLATILE 0x14

/* SubjectPublicKeyInfo of P-256 up to the point (RFC 5480 section 2). */
static const uint8_t SPKI_HEAD[P11_SPKI_LEN - IOTSAFE_POINT_LEN] = { 0x30, 0x59, 0x30, 0x13, 0x06,
	0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
	0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

void p11__token_gone(struct p11 *p, struct p11_token *t)
{
	p11__sessions_close(p, t);
	p11__objects_free(t->objects);
	t->objects = NULL;
	iotsafe_close(t->iotsafe);
	t->iotsafe = NULL;
	t->loaded = t->logged_in = false;
	t->iccid[0] = '\0';
}

CK_RV p11__error(struct p11 *p, struct p11_token *t, enum iotsafe_error e)
{
	switch (e) {
	case IOTSAFE_OK: return CKR_OK;
	case IOTSAFE_ENOCARD:
		p11__token_gone(p, t);
		t->probed_ms = dev__now_ms();
		return CKR_DEVICE_REMOVED;
	case IOTSAFE_EDENIED: return CKR_KEY_FUNCTION_NOT_PERMITTED;
	case IOTSAFE_ENOTFOUND: return CKR_OBJECT_HANDLE_INVALID;
	case IOTSAFE_ENOMEM: return CKR_HOST_MEMORY;
	case IOTSAFE_ETIMEOUT:
	case IOTSAFE_EINVAL:
	case IOTSAFE_EPROTO:
	case IOTSAFE_ECARD:
	case IOTSAFE_ETOOLARGE:
	case IOTSAFE_ECRYPTO: break;
	}
	return CKR_DEVICE_ERROR;
}

CK_RV p11__token_probe(struct p11 *p, struct p11_token *t)
{
	struct iotsafe_options o = { .card = t->card };
	char iccid[IOTSAFE_ICCID_TEXT] = "";
	uint64_t now = dev__now_ms();
	enum iotsafe_error e;

	if (t->probed_ms > 0 && now - t->probed_ms < P11_PROBE_MS)
		return t->iotsafe ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
	if (t->iotsafe) {
		e = iotsafe_iccid(t->iotsafe, iccid);
		if (e == IOTSAFE_ENOCARD || e == IOTSAFE_ETIMEOUT || strcmp(iccid, t->iccid) != 0)
			p11__token_gone(p, t);
	}
	if (!t->iotsafe && iotsafe_open(&o, &t->iotsafe, NULL, 0) == IOTSAFE_OK &&
		iotsafe_iccid(t->iotsafe, t->iccid) != IOTSAFE_OK)
		t->iccid[0] = '\0'; /* a card may keep it to itself */
	t->probed_ms = dev__now_ms();
	return t->iotsafe ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
}

/* A list that is being read, and what the card said it holds. */
struct load {
	struct p11 *p;
	struct p11_token *t;
	struct iotsafe_object *on_card;
	size_t count;
	struct p11_object *first, **last;
};

static struct p11_object *add(struct load *l, CK_OBJECT_CLASS class, const struct iotsafe_object *o)
{
	struct p11_object *object = calloc(1, sizeof(*object));
	char name[2 * IOTSAFE_ID_MAX + 1];

	if (!object)
		return NULL;
	object->class = class;
	memcpy(object->container.at, o->id, o->id_len);
	object->container.len = o->id_len;
	object->id = object->container;
	hex_write(o->id, o->id_len, name);
	if (str_copy(object->label, sizeof(object->label), o->label) != RC_OK || !o->label[0])
		(void)!str_format(object->label, sizeof(object->label), "%s %s",
			class == CKO_DATA	   ? "file"
			: class == CKO_CERTIFICATE ? "certificate"
						   : "key",
			name);
	*l->last = object;
	l->last = &object->next;
	return object;
}

static void set_point(struct p11_object *o, const uint8_t point[IOTSAFE_POINT_LEN])
{
	o->point[0] = 0x04;
	o->point[1] = IOTSAFE_POINT_LEN;
	memcpy(o->point + 2, point, IOTSAFE_POINT_LEN);
	memcpy(o->spki, SPKI_HEAD, sizeof(SPKI_HEAD));
	memcpy(o->spki + sizeof(SPKI_HEAD), point, IOTSAFE_POINT_LEN);
}

static bool same_id(const struct iotsafe_object *a, const struct iotsafe_object *b)
{
	return a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0;
}

static const struct iotsafe_object *find(
	const struct load *l, enum iotsafe_type type, const struct iotsafe_object *named_as)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->on_card[i].type == type && same_id(&l->on_card[i], named_as))
			return &l->on_card[i];
	return NULL;
}

/* The public half of a pair mostly has the private half's name. Where it has another (a card that
 * generates keys may choose), the n-th private key without a namesake belongs to the n-th public
 * key without one. */
static const struct iotsafe_object *public_half(
	const struct load *l, const struct iotsafe_object *key)
{
	const struct iotsafe_object *namesake = find(l, IOTSAFE_PUBLIC_KEY, key);
	size_t before = 0;

	if (namesake)
		return namesake;
	for (const struct iotsafe_object *o = l->on_card; o < key; o++)
		before += o->type == IOTSAFE_PRIVATE_KEY && !find(l, IOTSAFE_PUBLIC_KEY, o);
	for (size_t i = 0; i < l->count; i++) {
		const struct iotsafe_object *o = &l->on_card[i];
		if (o->type == IOTSAFE_PUBLIC_KEY && !find(l, IOTSAFE_PRIVATE_KEY, o) &&
			before-- == 0)
			return o;
	}
	return key; /* not listed; it may be there all the same */
}

/* A public key that can be written and is nobody's half. */
static void note_peer(const struct load *l, const struct iotsafe_object *o)
{
	if (l->t->peer.len > 0 || !(o->access & ACCESS_UPDATE) || find(l, IOTSAFE_PRIVATE_KEY, o))
		return;
	memcpy(l->t->peer.at, o->id, o->id_len);
	l->t->peer.len = o->id_len;
}

/* Of a pair on the card both halves, or none where it is empty or of a kind we cannot use. */
static enum iotsafe_error add_key(struct load *l, const struct iotsafe_object *o)
{
	static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY };
	const struct iotsafe_object *half;
	uint8_t point[IOTSAFE_POINT_LEN];
	enum iotsafe_error e;

	if (o->key_type != 0 && o->key_type != KEY_P256 && o->key_type != KEY_P256_VOLATILE)
		return IOTSAFE_OK;
	half = public_half(l, o);
	e = iotsafe_public_key_by_id(
		l->t->iotsafe, (struct iotsafe_id){ half->id, half->id_len }, point);
	if (e == IOTSAFE_ENOCARD || e == IOTSAFE_ETIMEOUT)
		return e;
	if (e != IOTSAFE_OK)
		return IOTSAFE_OK;
	for (size_t i = 0; i < 2; i++) {
		struct p11_object *key = add(l, classes[i], o);
		if (!key)
			return IOTSAFE_ENOMEM;
		set_point(key, point);
		key->can_sign = o->functions == 0 || (o->functions & FUNCTION_SIGN);
		key->can_derive = o->functions & FUNCTION_AGREE;
	}
	return IOTSAFE_OK;
}

static bool take_der(struct p11_bytes *out, int len, uint8_t *der)
{
	if (len <= 0)
		return false;
	*out = (struct p11_bytes){ .at = der, .len = (size_t)len };
	return true;
}

/* The parts of a certificate that a template may ask for. */
static bool set_cert(struct p11_object *o, X509 *cert)
{
	uint8_t *der = NULL, *subject = NULL, *issuer = NULL, *serial = NULL, *spki = NULL;
	int der_len = i2d_X509(cert, &der);
	int subject_len = i2d_X509_NAME(X509_get_subject_name(cert), &subject);
	int issuer_len = i2d_X509_NAME(X509_get_issuer_name(cert), &issuer);
	int serial_len = i2d_ASN1_INTEGER(X509_get0_serialNumber(cert), &serial);
	int spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	bool ok = take_der(&o->value, der_len, der);

	ok = take_der(&o->subject, subject_len, subject) && ok;
	ok = take_der(&o->issuer, issuer_len, issuer) && ok;
	ok = take_der(&o->serial, serial_len, serial) && ok;
	if (spki_len == P11_SPKI_LEN)
		memcpy(o->spki, spki, P11_SPKI_LEN);
	OPENSSL_free(spki);
	o->is_ca = X509_check_ca(cert) == 1;
	return ok;
}

static enum iotsafe_error add_cert(struct load *l, const struct iotsafe_object *o)
{
	uint8_t der[P11_CERT_MAX];
	const uint8_t *at = der;
	size_t len = 0;
	struct p11_object *object;
	X509 *cert;
	enum iotsafe_error e = iotsafe_read_file_by_id(
		l->t->iotsafe, (struct iotsafe_id){ o->id, o->id_len }, der, sizeof(der), &len);

	if (e == IOTSAFE_ENOCARD || e == IOTSAFE_ETIMEOUT)
		return e;
	if (e != IOTSAFE_OK)
		return IOTSAFE_OK;
	cert = X509_new_ex(l->p->libctx, NULL);
	if (!cert)
		return IOTSAFE_ENOMEM;
	/* A container may be padded with zeros behind the certificate. */
	if (!d2i_X509(&cert, &at, (long)len)) {
		X509_free(cert);
		return IOTSAFE_OK;
	}
	object = add(l, CKO_CERTIFICATE, o);
	if (object && !set_cert(object, cert))
		object = NULL; /* it stays in the list and is freed with it */
	X509_free(cert);
	return object ? IOTSAFE_OK : IOTSAFE_ENOMEM;
}

static enum iotsafe_error add_file(struct load *l, const struct iotsafe_object *o)
{
	struct p11_object *object;

	if (o->size == 0)
		return IOTSAFE_OK;
	if (o->usage == USAGE_X509 && o->size <= P11_CERT_MAX)
		return add_cert(l, o);
	object = add(l, CKO_DATA, o);
	if (!object)
		return IOTSAFE_ENOMEM;
	object->file_size = o->size;
	return IOTSAFE_OK;
}

static enum iotsafe_error read_all(struct load *l)
{
	enum iotsafe_error e = iotsafe_list(l->t->iotsafe, l->on_card, P11_CARD_MAX, &l->count);

	l->t->peer.len = 0;
	for (size_t i = 0; e == IOTSAFE_OK && i < l->count; i++) {
		const struct iotsafe_object *o = &l->on_card[i];
		if (o->type == IOTSAFE_PRIVATE_KEY)
			e = add_key(l, o);
		else if (o->type == IOTSAFE_PUBLIC_KEY)
			note_peer(l, o);
		else if (o->type == IOTSAFE_FILE)
			e = add_file(l, o);
	}
	return e;
}

static bool same_bytes(const struct p11_bytes *a, const struct p11_bytes *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->at, b->at, a->len) == 0);
}

static bool same_name(const struct p11_id *a, const struct p11_id *b)
{
	return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static bool subject_copy(struct p11_object *key, const struct p11_object *cert)
{
	key->subject.at = OPENSSL_memdup(cert->subject.at, cert->subject.len);
	key->subject.len = key->subject.at ? cert->subject.len : 0;
	return key->subject.at != NULL;
}

/* Programs find the key of a certificate, and the other way round, by id and label. A certificate
 * of no key keeps its own id, made longer where a key has that. */
static enum iotsafe_error join(struct load *l)
{
	for (struct p11_object *c = l->first; c; c = c->next) {
		bool taken = false;
		if (c->class != CKO_CERTIFICATE)
			continue;
		for (struct p11_object *k = l->first; k; k = k->next) {
			if (k->class != CKO_PRIVATE_KEY && k->class != CKO_PUBLIC_KEY)
				continue;
			taken = taken || same_name(&k->container, &c->container);
			if (memcmp(k->spki, c->spki, P11_SPKI_LEN) != 0)
				continue;
			c->id = k->container;
			memcpy(c->label, k->label, sizeof(c->label));
			if (!k->subject.at && !subject_copy(k, c))
				return IOTSAFE_ENOMEM;
			c->is_of_key = true;
		}
		if (taken && !c->is_of_key) {
			memmove(c->id.at + 1, c->id.at, c->id.len);
			c->id.at[0] = IOTSAFE_FILE;
			c->id.len++;
		}
	}
	return IOTSAFE_OK;
}

static bool same_object(const struct p11_object *a, const struct p11_object *b)
{
	return a->class == b->class && same_name(&a->container, &b->container) && !a->session &&
	       a->file_size == b->file_size && same_bytes(&a->value, &b->value) &&
	       memcmp(a->point, b->point, sizeof(a->point)) == 0;
}

/* Puts the new objects in the place of the old ones; what did not change keeps its handle. */
static void replace(struct load *l)
{
	struct p11_object *old = l->t->objects, *kept = NULL;

	for (struct p11_object *o = l->first; o; o = o->next) {
		for (const struct p11_object *was = old; was && o->handle == 0; was = was->next)
			if (same_object(was, o))
				o->handle = was->handle;
		if (o->handle == 0)
			o->handle = l->p->next_handle++;
	}
	while (old) {
		struct p11_object *next = old->next;
		old->next = NULL;
		if (old->session) {
			old->next = kept;
			kept = old;
		} else {
			p11__objects_free(old);
		}
		old = next;
	}
	*l->last = kept;
	l->t->objects = l->first;
}

CK_RV p11__token_load(struct p11 *p, struct p11_token *t)
{
	struct load l = { .p = p, .t = t };
	enum iotsafe_error e = IOTSAFE_ENOMEM;

	if (!t->iotsafe)
		return CKR_DEVICE_REMOVED;
	if (t->loaded && dev__now_ms() - t->loaded_ms < P11_RELOAD_MS)
		return CKR_OK;
	l.last = &l.first;
	l.on_card = calloc(P11_CARD_MAX, sizeof(*l.on_card));
	if (l.on_card)
		e = read_all(&l);
	if (e == IOTSAFE_OK)
		e = join(&l);
	free(l.on_card);
	if (e != IOTSAFE_OK) {
		p11__objects_free(l.first);
		return p11__error(p, t, e);
	}
	replace(&l);
	t->loaded = true;
	t->loaded_ms = dev__now_ms();
	return CKR_OK;
}
