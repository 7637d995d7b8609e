/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/file.h"
#include "role/folders.h"
#include "role/plan.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define USER_BASE 61000

static void path_in(const char *dir, const char *name, char out[128])
{
	assert_true(snprintf(out, 128, "%s/%s", dir, name) < 128);
}

static void touch(const char *dir, const char *name, const char *text)
{
	char path[128];
	struct diag d;

	path_in(dir, name, path);
	if (!strchr(name, '.'))
		assert_int_equal(0, mkdir(path, 0755));
	else
		assert_rc(RC_OK, file_write_atomic(path, text, strlen(text), 0644, &d));
}

static int make_registry(void **state)
{
	static const char *const names[] = { "keys", "ca", "db", "zone", "tls", "keys/a.key",
		"zone/data.mdb", "tls/https.key", "tls/dot.key" };
	char *dir = strdup("/tmp/attestry-plan-XXXXXX");

	if (!dir || !mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		touch(dir, names[i], "x");
	*state = dir;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int remove_registry(void **state)
{
	int rc = nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);

	free(*state);
	return rc;
}

static void read_config(const char *dir, const char *more, struct config *out)
{
	char text[512], path[128];
	struct diag d = { 0 };

	snprintf(text, sizeof(text),
		"[registry]\nzone = a.example\n[dns]\nlisten = 127.0.0.1:0\ndot = 127.0.0.1:0\n"
		"workers = 3\n[https]\nlisten = 127.0.0.1:0\n%s",
		more);
	touch(dir, "attestry.conf", text);
	path_in(dir, "attestry.conf", path);
	if (config_read(path, out, &d) != RC_OK)
		fail_msg("%s", d.text);
}

static const struct supervisor_child *child(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->supervisor.child_count; i++)
		if (strcmp(p->children[i].name, name) == 0)
			return &p->children[i];
	fail_msg("no role %s", name);
	return NULL;
}

static bool linked(const struct plan *p, const char *a, const char *b)
{
	size_t i = (size_t)(child(p, a) - p->children), k = (size_t)(child(p, b) - p->children);

	for (size_t n = 0; n < p->supervisor.link_count; n++)
		if ((p->links[n].a == i && p->links[n].b == k) ||
			(p->links[n].a == k && p->links[n].b == i))
			return true;
	return false;
}

/* The links of design section 3, and no other: a dns never speaks to keys. */
static void test_who_talks_to_whom(void **state)
{
	static const char *const names[] = { "keys", "core", "zone", "front-api", "out", "dns/0",
		"dns/1", "dns/2" };
	static const char *const links[] = { "core keys", "zone keys", "core zone",
		"front-api core", "out core", "out zone", "dns/0 zone", "dns/1 zone",
		"dns/2 zone" };
	struct plan *p = calloc(1, sizeof(*p));
	struct config config;
	struct diag d = { 0 };
	size_t found = 0;

	assert_non_null(p);
	read_config(*state, "", &config);
	assert_rc(RC_OK, plan_open(p, &config, NULL, clock_system(), &d));
	assert_int_equal(ARRAY_LEN(names), p->supervisor.child_count);
	assert_int_equal(ARRAY_LEN(links), p->supervisor.link_count);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			char both[64];
			snprintf(both, sizeof(both), "%s %s", names[i], names[k]);
			for (size_t n = 0; n < ARRAY_LEN(links); n++)
				if (strcmp(both, links[n]) == 0)
					found += linked(p, names[i], names[k]);
		}
	assert_int_equal(ARRAY_LEN(links), found);
	/* The front ends first, keys last. */
	assert_true(child(p, "front-api")->stop_stage < child(p, "core")->stop_stage);
	assert_true(child(p, "core")->stop_stage < child(p, "zone")->stop_stage);
	assert_true(child(p, "zone")->stop_stage < child(p, "keys")->stop_stage);
	plan_close(p);
	config_free(&config);
	free(p);
}

/* Connects to the address on line `line` of DIR/run/<role>.addr. */
static void check_addr(const char *dir, const char *file, size_t line, const char *host)
{
	char path[128], name[64];
	struct conf_addr addr;
	char got[64], text[128];
	unsigned port = 0;
	FILE *f;

	snprintf(name, sizeof(name), "run/%s.addr", file);
	path_in(dir, name, path);
	f = fopen(path, "re");
	assert_non_null(f);
	for (size_t i = 0; i <= line; i++)
		assert_int_equal(2, fscanf(f, "%63s %u\n", got, &port));
	fclose(f);
	assert_string_equal(host, got);
	snprintf(text, sizeof(text), "%s:%u", got, port);
	assert_rc(RC_OK, conf_addr_read(text, &addr));
	int fd = socket(addr.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0, connect(fd, (struct sockaddr *)&addr.sa, addr.len));
	close(fd);
}

static void test_listeners_are_bound_and_told(void **state)
{
	struct plan *p = calloc(1, sizeof(*p));
	struct config config;
	struct diag d = { 0 };

	assert_non_null(p);
	read_config(*state, "", &config);
	if (plan_open(p, &config, NULL, clock_system(), &d) != RC_OK)
		fail_msg("%s", d.text);
	assert_int_equal(3, child(p, "dns/2")->listener_count);
	assert_string_equal("dns-udp", child(p, "dns/2")->listeners[0].name);
	assert_string_equal("dns-tcp", child(p, "dns/2")->listeners[1].name);
	assert_string_equal("dot", child(p, "dns/2")->listeners[2].name);
	assert_int_equal(1, child(p, "front-api")->listener_count);
	assert_int_equal(0, child(p, "core")->listener_count);
	assert_int_equal(10, p->fd_count);
	check_addr(*state, "dns", 0, "127.0.0.1");
	check_addr(*state, "dns", 1, "127.0.0.1");
	check_addr(*state, "front-api", 0, "127.0.0.1");
	plan_close(p);
	config_free(&config);
	free(p);
}

static void check_owner(const char *dir, const char *name, unsigned user, unsigned mode)
{
	char path[128];
	struct stat st;

	path_in(dir, name, path);
	assert_int_equal(0, lstat(path, &st));
	assert_int_equal(user == USERS ? 0 : USER_BASE + user, st.st_uid);
	assert_int_equal(mode, st.st_mode & 07777);
}

static void test_folders_go_to_the_roles_users(void **state)
{
	struct config config;
	struct role_users users;
	struct diag d = { 0 };
	char path[128];

	if (geteuid() != 0)
		skip();
	/* A role could plant these in its folder: root must not give it what they name. */
	touch(*state, "outside.txt", "x");
	path_in(*state, "zone/link.txt", path);
	assert_int_equal(0, symlink("../outside.txt", path));
	path_in(*state, "keys/hard.txt", path);
	char outside[128];
	path_in(*state, "outside.txt", outside);
	assert_int_equal(0, link(outside, path));

	read_config(*state, "[supervisor]\nuser_base = 61000\n", &config);
	role_users_of(&config, &users);
	assert_int_equal(USER_BASE + USER_OUT, users.uid[USER_OUT]);
	if (role_folders_give(&config, &users, &d) != RC_OK)
		fail_msg("%s", d.text);
	check_owner(*state, "keys", USER_KEYS, 0700);
	check_owner(*state, "keys/a.key", USER_KEYS, 0600);
	check_owner(*state, "db", USER_CORE, 0700);
	check_owner(*state, "zone", USER_ZONE, 0750);
	check_owner(*state, "zone/data.mdb", USER_ZONE, 0640);
	check_owner(*state, "tls", USERS, 0711);
	check_owner(*state, "tls/https.key", USER_FRONT_API, 0600);
	check_owner(*state, "tls/dot.key", USER_DNS, 0600);
	check_owner(*state, "outside.txt", USERS, 0644);
	config_free(&config);
}

static void test_a_closed_folder_above_is_named(void **state)
{
	char dir[] = "/tmp/attestry-closed-XXXXXX", inner[128];
	struct config config = { 0 };
	struct role_users users = { .uid = { USER_BASE } };
	struct diag d = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	path_in(dir, "registry", inner);
	config.dir = inner;
	assert_rc(RC_DENIED, role_folders_give(&config, &users, &d));
	assert_non_null(strstr(d.text, dir));
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_who_talks_to_whom, make_registry, remove_registry),
		cmocka_unit_test_setup_teardown(
			test_listeners_are_bound_and_told, make_registry, remove_registry),
		cmocka_unit_test_setup_teardown(
			test_folders_go_to_the_roles_users, make_registry, remove_registry),
		cmocka_unit_test(test_a_closed_folder_above_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
