/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on their way from node to node, and the ends of audit chains. */
#include "ca/node.h"
#include "ca/seal.h"
#include "fixture.h"
#include "base/file.h"
#include "base/str.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
	struct fixture *f;
	char from[128], to[128];
	struct ca_key node;
	uint8_t *bundle;
	size_t len;
	uint64_t version;
	struct diag d;
};

static void open_world(struct world *w, void **state, enum ca_bundle_what what)
{
	*w = (struct world){ .f = *state };
	assert_rc(RC_OK, str_format(w->from, sizeof(w->from), "%s/keys", w->f->dir));
	assert_rc(RC_OK, str_format(w->to, sizeof(w->to), "%s/to", w->f->folder));
	assert_true(mkdir(w->to, 0700) == 0);
	assert_rc(RC_OK, ca_key_new(&w->node, &w->d));
	assert_rc(RC_OK, ca_bundle_seal(w->from, what, 7, &w->f->ring.party, "b", w->node.point,
				 &w->bundle, &w->len, &w->d));
}

static void remove_file(const struct world *w, const char *name)
{
	char path[PATH_MAX];

	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", w->to, name));
	(void)unlink(path);
}

static void close_world(struct world *w)
{
	static const char *const files[] = { "zone-keys", "ksk.key", "zsk.key", "issuing.key",
		"devkit.key", "party.key", "payload.key", "seal.key", "zsk-9.key" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		remove_file(w, files[i]);
	assert_int_equal(0, rmdir(w->to));
	ca_key_free(&w->node);
	free(w->bundle);
}

static enum rc take(struct world *w, enum ca_bundle_what what, const char *name, uint64_t least)
{
	return ca_bundle_open(w->to, what, &w->node, w->f->ring.party.point, name, least, w->bundle,
		w->len, &w->version, &w->d);
}

static bool same_file(const struct world *w, const char *name)
{
	char path[PATH_MAX];
	uint8_t *a = NULL, *b = NULL;
	size_t n = 0, m = 1;
	bool same;

	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", w->from, name));
	assert_rc(RC_OK, file_read(path, 65536, &a, &n, NULL));
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", w->to, name));
	same = file_read(path, 65536, &b, &m, NULL) == RC_OK && n == m && memcmp(a, b, n) == 0;
	free(a);
	free(b);
	return same;
}

static void the_zones_keys_arrive(void **state)
{
	struct world w;
	struct stat st;
	char path[PATH_MAX];

	open_world(&w, state, CA_BUNDLE_ZONE);
	/* One that came to its end elsewhere. */
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/zsk-9.key", w.to));
	assert_rc(RC_OK, file_write_atomic(path, "old", 3, 0600, &w.d));
	assert_rc(RC_OK, take(&w, CA_BUNDLE_ZONE, "b", 7));
	assert_int_equal(w.version, 7);
	assert_true(same_file(&w, "ksk.key") && same_file(&w, "zsk.key"));
	assert_int_equal(-1, stat(path, &st));
	/* The CAs' keys are not the zone's. */
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/issuing.key", w.to));
	assert_int_equal(-1, stat(path, &st));
	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/ksk.key", w.to));
	assert_int_equal(0, stat(path, &st));
	assert_int_equal(st.st_mode & 0777, 0600);
	close_world(&w);
}

static void all_keys_only_where_all_are_expected(void **state)
{
	struct world w;

	open_world(&w, state, CA_BUNDLE_ALL);
	assert_rc(RC_MALFORMED, take(&w, CA_BUNDLE_ZONE, "b", 0));
	assert_rc(RC_OK, take(&w, CA_BUNDLE_ALL, "b", 0));
	assert_true(same_file(&w, "issuing.key") && same_file(&w, "party.key"));
	close_world(&w);
}

static void others_take_nothing(void **state)
{
	struct world w;
	struct ca_key other;

	open_world(&w, state, CA_BUNDLE_ZONE);
	assert_rc(RC_SIGNATURE, take(&w, CA_BUNDLE_ZONE, "c", 0)); /* sealed for b */
	assert_rc(RC_STATE, take(&w, CA_BUNDLE_ZONE, "b", 8));	   /* older than its own */
	for (size_t at = 0; at < w.len; at += 37) {
		w.bundle[at] ^= 1;
		assert_rc(RC_SIGNATURE, take(&w, CA_BUNDLE_ZONE, "b", 0));
		w.bundle[at] ^= 1;
	}
	for (size_t len = w.len, n = 0; n < len; n++) {
		w.len = n;
		assert_int_not_equal(RC_OK, take(&w, CA_BUNDLE_ZONE, "b", 0));
	}
	free(w.bundle);
	/* Sealed by somebody who is not a node of this registry. */
	assert_rc(RC_OK, ca_key_new(&other, &w.d));
	assert_rc(RC_OK, ca_bundle_seal(w.from, CA_BUNDLE_ZONE, 9, &other, "b", w.node.point,
				 &w.bundle, &w.len, &w.d));
	assert_rc(RC_SIGNATURE, take(&w, CA_BUNDLE_ZONE, "b", 0));
	free(w.bundle);
	/* Sealed to another's key. */
	assert_rc(RC_OK, ca_bundle_seal(w.from, CA_BUNDLE_ZONE, 9, &w.f->ring.party, "b",
				 other.point, &w.bundle, &w.len, &w.d));
	assert_int_not_equal(RC_OK, take(&w, CA_BUNDLE_ZONE, "b", 0));
	assert_false(same_file(&w, "ksk.key"));
	ca_key_free(&other);
	close_world(&w);
}

static void what_was_opened_is_read_whole(void **state)
{
	static const uint8_t good[] = "\0\0\0\0\0\0\0\7\1\7zsk.key\0\3abc";
	static const uint8_t path[] = "\0\0\0\0\0\0\0\7\1\7../.key\0\3abc";
	static const uint8_t nodes[] = "\0\0\0\0\0\0\0\7\1\10node.key\0\3abc";
	struct ca_bundle_file files[CA_BUNDLE_FILES];
	size_t n = 0, len = sizeof(good) - 1;
	uint64_t version = 0;

	(void)state;
	assert_rc(RC_OK, ca_bundle_parse(good, len, CA_BUNDLE_ZONE, &version, files, &n));
	assert_true(n == 1 && version == 7 && files[0].len == 3);
	for (size_t i = 0; i < len; i++)
		assert_rc(RC_MALFORMED,
			ca_bundle_parse(good, i, CA_BUNDLE_ZONE, &version, files, &n));
	assert_rc(
		RC_MALFORMED, ca_bundle_parse(good, len + 1, CA_BUNDLE_ZONE, &version, files, &n));
	assert_rc(RC_MALFORMED, ca_bundle_parse(path, len, CA_BUNDLE_ALL, &version, files, &n));
	assert_rc(RC_MALFORMED,
		ca_bundle_parse(nodes, sizeof(nodes) - 1, CA_BUNDLE_ALL, &version, files, &n));
}

static void a_node_is_vouched_for(void **state)
{
	struct fixture *f = *state;
	uint8_t proof[CA_NODE_PROOF_LEN];
	struct ca_key node;
	struct diag d;

	assert_rc(RC_OK, ca_key_new(&node, &d));
	assert_rc(RC_OK, ca_node_prove(&f->ring.party, "b", node.point, proof, &d));
	assert_rc(RC_OK,
		ca_node_check(f->ring.party.point, "b", node.point, proof, sizeof(proof), &d));
	assert_rc(RC_SIGNATURE,
		ca_node_check(f->ring.party.point, "c", node.point, proof, sizeof(proof), &d));
	assert_rc(RC_SIGNATURE, ca_node_check(f->ring.party.point, "b", f->ring.party.point, proof,
					sizeof(proof), &d));
	assert_rc(RC_SIGNATURE,
		ca_node_check(f->ring.party.point, "b", node.point, proof, sizeof(proof) - 1, &d));
	ca_key_free(&node);
}

static void a_chains_end_is_signed(void **state)
{
	const uint8_t hash[CA_SHA256_LEN] = { 1, 2, 3 }, other[CA_SHA256_LEN] = { 1, 2, 4 };
	uint8_t sig[64];
	struct ca_key node;
	struct diag d;

	(void)state;
	assert_rc(RC_OK, ca_key_new(&node, &d));
	assert_rc(RC_OK, ca_node_sign_head(&node, "b", 12, hash, sig, &d));
	assert_rc(RC_OK, ca_node_check_head(node.point, "b", 12, hash, sig, 64));
	assert_rc(RC_SIGNATURE, ca_node_check_head(node.point, "b", 13, hash, sig, 64));
	assert_rc(RC_SIGNATURE, ca_node_check_head(node.point, "a", 12, hash, sig, 64));
	assert_rc(RC_SIGNATURE, ca_node_check_head(node.point, "b", 12, other, sig, 64));
	assert_rc(RC_SIGNATURE, ca_node_check_head(node.point, "b", 12, hash, sig, 63));
	ca_key_free(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_zones_keys_arrive),
		cmocka_unit_test(all_keys_only_where_all_are_expected),
		cmocka_unit_test(others_take_nothing),
		cmocka_unit_test(what_was_opened_is_read_whole),
		cmocka_unit_test(a_node_is_vouched_for),
		cmocka_unit_test(a_chains_end_is_signed),
	};

	return cmocka_run_group_tests_name("ca/node", tests, fixture_setup, fixture_teardown);
}
