/* SPDX-License-Identifier: Apache-2.0 */
/* The role front as attestryd starts it, confined, with a test in the supervisor's place and a
 * core of canned answers behind it. */
#include "../unit.h"

#include "base/clock.h"
#include "base/str.h"
#include "ca/init.h"
#include "ca/keyfile.h"
#include "ca/seal.h"
#include "client/client.h"
#include "control.pb-c.h"
#include "proc/control.h"
#include "registry.pb-c.h"
#include "role/start.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/test_front.XXXXXX";
static char dir[64];
static int control_fd = -1;
static uint16_t port;
static pid_t front_pid, core_pid;
static struct client *client;

/* ---- core ---- */

static bool read_all(int fd, void *bytes, size_t len)
{
	uint8_t *at = bytes;

	while (len) {
		ssize_t n = read(fd, at, len);
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static void send_reply(int fd, const Registry__Reply *reply)
{
	static uint8_t frame[65536];
	size_t len = registry__reply__pack(reply, frame + 4);

	for (int i = 0; i < 4; i++)
		frame[i] = (uint8_t)(len >> (24 - 8 * i));
	if (write(fd, frame, len + 4) != (ssize_t)len + 4)
		_exit(1);
}

static void refuse(int fd, Registry__Reply *reply, Registry__Code code, const char *reason)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%s", reason);
	reply->code = code;
	reply->reason = text;
	send_reply(fd, reply);
}

/* Tells in the service's td_url what Wi-Fi the role keys would find. */
static void answer_service(
	int fd, Registry__Reply *reply, Registry__Service *service, const struct ca_key *seal_key)
{
	Registry__ServiceData data = REGISTRY__SERVICE_DATA__INIT;
	struct secret plain = { 0 };
	char hex[2 * 256 + 1] = "not sealed to us";

	if (ca_open(seal_key, service->wifi_sealed.data, service->wifi_sealed.len, &plain, NULL) ==
			RC_OK &&
		plain.len <= 256)
		hex_write(plain.bytes, plain.len, hex);
	secret_free(&plain);
	service->wifi_sealed.len = 0;
	service->td_url = hex;
	reply->result_case = REGISTRY__REPLY__RESULT_SERVICE;
	reply->service = &data;
	data.service = service;
	send_reply(fd, reply);
	service->td_url = (char *)protobuf_c_empty_string; /* hex is not unpack's to free */
}

/* By operation; what a device's ICCID says decides how core ends. */
static void answer(int fd, Registry__Request *r, const struct ca_key *seal_key)
{
	Registry__Reply reply = REGISTRY__REPLY__INIT;
	Registry__SealKeyData seal = REGISTRY__SEAL_KEY_DATA__INIT;
	Registry__PartyData party = REGISTRY__PARTY_DATA__INIT;
	Registry__Party who = REGISTRY__PARTY__INIT;
	char hex[65];

	reply.id = r->id;
	reply.code = REGISTRY__CODE__CODE_OK;
	if (r->op_case == REGISTRY__REQUEST__OP_SEAL_KEY) {
		seal.point = (ProtobufCBinaryData){ CA_POINT_LEN,
			(uint8_t *)(uintptr_t)seal_key->point };
		reply.result_case = REGISTRY__REPLY__RESULT_SEAL_KEY;
		reply.seal_key = &seal;
		send_reply(fd, &reply);
	} else if (r->op_case == REGISTRY__REQUEST__OP_PARTY_INFO) {
		hex_write(r->spki_sha256.data, r->spki_sha256.len, hex);
		who.id = hex;
		who.name = r->idempotency_key;
		party.party = &who;
		reply.result_case = REGISTRY__REPLY__RESULT_PARTY;
		reply.party = &party;
		send_reply(fd, &reply);
	} else if (r->op_case == REGISTRY__REQUEST__OP_SERVICE_CREATE) {
		answer_service(fd, &reply, r->service_create->service, seal_key);
	} else if (r->op_case == REGISTRY__REQUEST__OP_DEVICE_INFO) {
		if (strcmp(r->device_info->iccid, "die") == 0)
			_exit(0);
		if (strcmp(r->device_info->iccid, "garbage") == 0 &&
			write(fd, "\0\0\0\3\xff\xff\xff", 7) == 7)
			return;
		/* an answer that nobody waits for must not hurt */
		reply.id = r->id + 0x10000;
		send_reply(fd, &reply);
		reply.id = r->id;
		refuse(fd, &reply, REGISTRY__CODE__CODE_NOT_FOUND, "no such device");
	} else {
		refuse(fd, &reply, REGISTRY__CODE__CODE_UNIMPLEMENTED, "not here");
	}
}

static void serve_core(int fd)
{
	static uint8_t bytes[65536];
	struct ca_key seal_key;
	uint8_t head[4];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ca_key_new(&seal_key, NULL) != RC_OK)
		_exit(1);
	while (read_all(fd, head, 4)) {
		size_t len = (size_t)head[2] << 8 | head[3];
		Registry__Request *r;
		if (head[0] || head[1] || !read_all(fd, bytes, len))
			_exit(1);
		r = registry__request__unpack(NULL, len, bytes);
		if (!r)
			_exit(1);
		answer(fd, r, &seal_key);
		registry__request__free_unpacked(r, NULL);
	}
	_exit(0);
}

/* A core on a new link, as after a restart. */
static void start_core(void)
{
	Control__ToRole message = CONTROL__TO_ROLE__INIT;
	Control__Link link = CONTROL__LINK__INIT;
	char peer[] = "core";
	int pair[2];

	if (core_pid) {
		kill(core_pid, SIGKILL);
		waitpid(core_pid, NULL, 0);
	}
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	core_pid = fork();
	if (core_pid == 0) {
		close(pair[1]);
		close(control_fd);
		serve_core(pair[0]);
	}
	close(pair[0]);
	link.peer = peer;
	message.op_case = CONTROL__TO_ROLE__OP_LINK;
	message.link = &link;
	assert_rc(RC_OK, control_send(control_fd, &message.base, pair[1]));
	close(pair[1]);
}

/* ---- front ---- */

static void serve_front(int control, int listener)
{
	static struct config config;
	struct log log = { .fd = -1, .role = "front-api" };
	struct role_start start = { .config = &config,
		.log = &log,
		.clock = clock_system(),
		.name = "front-api",
		.listeners = "https",
		.control_fd = CONTROL_FD };
	struct diag d = { 0 };
	char path[128];
	int high_control = fcntl(control, F_DUPFD, 20),
	    high_listener = fcntl(listener, F_DUPFD, 20);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(path, sizeof(path), "%s/attestry.conf", dir);
	if (config_read(path, &config, &d) != RC_OK)
		_exit(1);
	(void)dup2(high_control, CONTROL_FD);
	(void)dup2(high_listener, CONTROL_FD + 1);
	(void)fcntl(CONTROL_FD, F_SETFL, O_NONBLOCK);
	_exit(role_main(&start, &d) == RC_OK ? 0 : 1);
}

static int write_conf(void)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/attestry.conf", dir);
	f = fopen(path, "w");
	if (!f)
		return -1;
	fputs("[registry]\nzone = test.example\n[supervisor]\nlandlock = warn\n", f);
	return fclose(f);
}

static int setup(void **state)
{
	struct ca_init_params p = {
		.dir = dir, .zone = "test.example", .now = clock_system()->unix_s(clock_system())
	};
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);
	struct ca_init_result result;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), pair[2];

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(top) || snprintf(dir, sizeof(dir), "%s/r", top) < 0 ||
		ca_init(&p, &result, NULL) != RC_OK || write_conf() != 0 ||
		bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 16) < 0 ||
		getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || control_pair(pair) != RC_OK)
		return -1;
	port = ntohs(addr.sin_port);
	front_pid = fork();
	if (front_pid == 0)
		serve_front(pair[1], fd);
	close(pair[1]);
	close(fd);
	control_fd = pair[0];
	return 0;
}

static int teardown(void **state)
{
	Control__ToRole message = CONTROL__TO_ROLE__INIT;
	Control__Stop stop = CONTROL__STOP__INIT;
	char *argv[] = { "rm", "-rf", top, NULL };
	int status = -1;
	pid_t pid;

	(void)state;
	client_free(client);
	message.op_case = CONTROL__TO_ROLE__OP_STOP;
	message.stop = &stop;
	if (control_send(control_fd, &message.base, -1) != RC_OK)
		return -1;
	/* It ends by itself, and well. */
	waitpid(front_pid, &status, 0);
	kill(core_pid, SIGKILL);
	waitpid(core_pid, NULL, 0);
	pid = fork();
	if (pid == 0)
		execvp(argv[0], argv);
	waitpid(pid, NULL, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static struct client *dial(void)
{
	char url[64], ca[128], cert[128], key[128];
	struct client *c = NULL;
	struct diag d = { 0 };

	(void)snprintf(url, sizeof(url), "https://localhost:%u", port);
	(void)snprintf(ca, sizeof(ca), "%s/ca/party.pem", dir);
	(void)snprintf(cert, sizeof(cert), "%s/operator/operator.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/operator/operator.key", dir);
	if (client_new(&c, url, ca, cert, key, &d) != RC_OK)
		fail_msg("%s", d.text);
	return c;
}

/* ---- tests, in this order: they share one front ---- */

static json_t *call(const char *method, const char *path, const char *body, int want)
{
	json_t *in = body ? json_loads(body, 0, NULL) : NULL, *out = NULL;
	struct diag d = { 0 };
	int status = 0;
	enum rc rc;

	if (!client)
		client = dial();
	client_set_tries(client, want == 503 ? 1 : CLIENT_TRIES);
	rc = client_call(client, method, path, in, &out, &status, &d);
	json_decref(in);
	if (status != want)
		fail_msg("%s %s: %s, status %d: %s", method, path, rc_text(rc), status, d.text);
	return out;
}

static void test_without_core_it_is_unavailable(void **state)
{
	json_t *out = call("GET", "/v1/party", NULL, 503);

	(void)state;
	assert_int_equal(2400, json_integer_value(json_object_get(out, "code")));
	json_decref(out);
	/* What needs no core to be refused is refused all the same. */
	json_decref(call("GET", "/v1/nothing", NULL, 404));
}

static void test_core_learns_whose_key_it_is(void **state)
{
	char path[128], want[65];
	struct ca_key key;
	json_t *out, *party;

	(void)state;
	start_core();
	(void)snprintf(path, sizeof(path), "%s/operator/operator.key", dir);
	assert_rc(RC_OK, ca_key_load(&key, path, NULL));
	hex_write(key.spki_sha256, 32, want);
	ca_key_free(&key);
	out = call("GET", "/v1/party", NULL, 200);
	party = json_object_get(out, "party");
	assert_string_equal(want, json_string_value(json_object_get(party, "id")));
	json_decref(out);
}

static void test_a_refusal_of_core_is_told(void **state)
{
	json_t *out = call("GET", "/v1/devices/8912230200031010008F", NULL, 404);

	(void)state;
	assert_int_equal(2303, json_integer_value(json_object_get(out, "code")));
	assert_string_equal("no such device", json_string_value(json_object_get(out, "reason")));
	json_decref(out);
	json_decref(call("GET", "/v1/audit", NULL, 501));
}

static void test_wifi_reaches_core_sealed(void **state)
{
	json_t *out = call("POST", "/v1/services",
		"{\"handle\":\"x\",\"wifi\":{\"ssid\":\"home\",\"passphrase\":\"secret12\"}}", 201);

	(void)state;
	assert_string_equal("a3"
			    "01"
			    "44"
			    "686f6d65"
			    "02"
			    "68"
			    "7365637265743132"
			    "03"
			    "01",
		json_string_value(json_object_get(json_object_get(out, "service"), "td_url")));
	json_decref(out);
}

/* The client repeats a 503: the second try must find the new core. */
static void test_core_may_die_and_come_back(void **state)
{
	(void)state;
	json_decref(call("GET", "/v1/devices/die", NULL, 503));
	start_core();
	json_decref(call("GET", "/v1/party", NULL, 200));
	json_decref(call("POST", "/v1/services",
		"{\"wifi\":{\"ssid\":\"home\",\"passphrase\":\"secret12\"}}", 201));
}

static void test_a_core_that_talks_nonsense_is_cut_off(void **state)
{
	(void)state;
	json_decref(call("GET", "/v1/devices/garbage", NULL, 503));
	start_core();
	json_decref(call("GET", "/v1/party", NULL, 200));
}

/* As after a restart: the supervisor brings a new link while the old one still lives. */
static void test_a_new_link_replaces_the_old(void **state)
{
	pid_t old = core_pid;

	(void)state;
	core_pid = 0;
	start_core();
	json_decref(call("GET", "/v1/party", NULL, 200));
	/* Front closed the old link: that core reads its end. */
	assert_int_equal(old, waitpid(old, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_core_it_is_unavailable),
		cmocka_unit_test(test_core_learns_whose_key_it_is),
		cmocka_unit_test(test_a_refusal_of_core_is_told),
		cmocka_unit_test(test_wifi_reaches_core_sealed),
		cmocka_unit_test(test_core_may_die_and_come_back),
		cmocka_unit_test(test_a_core_that_talks_nonsense_is_cut_off),
		cmocka_unit_test(test_a_new_link_replaces_the_old),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
