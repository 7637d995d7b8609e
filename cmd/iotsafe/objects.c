/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX 256

static const char *type_text(enum iotsafe_type t)
{
	switch (t) {
	case IOTSAFE_PRIVATE_KEY: return "private key";
	case IOTSAFE_PUBLIC_KEY: return "public key";
	case IOTSAFE_FILE: return "file";
	case IOTSAFE_SECRET_KEY: return "secret key";
	}
	return "?";
}

static json_t *object_json(const struct iotsafe_object *o)
{
	char id[2 * IOTSAFE_ID_MAX + 1];
	json_t *j;

	hex_write(o->id, o->id_len, id);
	j = json_pack("{s:s, s:s, s:s, s:b}", "id", id, "type", type_text(o->type), "label",
		o->label, "active", o->state == 1);
	if (o->type == IOTSAFE_FILE)
		json_object_set_new(j, "size", json_integer((json_int_t)o->size));
	else
		json_object_set_new(j, "key_type", json_integer(o->key_type));
	return j;
}

static void print_object(const struct iotsafe_object *o)
{
	char id[2 * IOTSAFE_ID_MAX + 1];

	hex_write(o->id, o->id_len, id);
	printf("%-4s %-12s %-9s ", id, type_text(o->type), o->state == 1 ? "active" : "inactive");
	if (o->type == IOTSAFE_FILE)
		printf("%5zu bytes  ", o->size);
	else
		printf("type %02x      ", o->key_type);
	puts(o->label);
}

/* Every object; NULL with an exit code. */
static struct iotsafe_object *list(
	const struct run *run, struct iotsafe *card, size_t *count, int *code)
{
	struct iotsafe_object *o = calloc(OBJECTS_MAX, sizeof(*o));
	enum iotsafe_error e = o ? iotsafe_list(card, o, OBJECTS_MAX, count) : IOTSAFE_ENOMEM;

	if (e != IOTSAFE_OK) {
		*code = cmd_card_error(run, card, e, "objects");
		free(o);
		return NULL;
	}
	return o;
}

int cmd_objects(const struct run *run)
{
	struct iotsafe *card = run->argc == 0 ? cmd_open(run) : NULL;
	struct iotsafe_object *o;
	json_t *all = NULL;
	size_t n = 0;
	int code = EXIT_YES;

	if (run->argc != 0)
		return EXIT_USAGE;
	if (!card)
		return EXIT_CANNOT_TELL;
	o = list(run, card, &n, &code);
	if (!o)
		goto out;
	if (run->json)
		all = json_array();
	for (size_t i = 0; i < n; i++) {
		if (run->json)
			json_array_append_new(all, object_json(&o[i]));
		else
			print_object(&o[i]);
	}
	if (all)
		cmd_print(all);
out:
	free(o);
	iotsafe_close(card);
	return code;
}

/* A slot's line: what a person wants to know first. */
static json_t *slot_json(const struct iotsafe_slot *s)
{
	static const char *const keys[] = { "none", "inactive", "active" };

	return json_pack("{s:i, s:s, s:b, s:b}", "slot", (int)s->number, "key", keys[s->key],
		"certificate", s->certificate, "payload", s->payload);
}

/* An applet's own name: text, where it is one. */
static json_t *applet_json(const struct iotsafe_applet *a)
{
	char version[16], hex[2 * IOTSAFE_APPLET_MAX + 1];
	size_t n = a->identifier_len;

	while (n > 0 && a->identifier[n - 1] == 0)
		n--;
	for (size_t i = 0; i < n; i++)
		if (a->identifier[i] < ' ' || a->identifier[i] > '~')
			n = 0;
	hex_write(a->identifier, a->identifier_len, hex);
	if (str_format(version, sizeof(version), "%u.%u", a->version >> 4, a->version & 0xf) !=
		RC_OK)
		version[0] = '\0';
	return json_pack("{s:s, s:o, s:i, s:i, s:i, s:i}", "version", version, "identifier",
		n > 0 ? json_stringn((const char *)a->identifier, n) : json_string(hex), "files",
		a->files, "private_keys", a->private_keys, "public_keys", a->public_keys,
		"secret_keys", a->secret_keys);
}

static void print_info(const json_t *info)
{
	const json_t *slots = json_object_get(info, "slots");
	const json_t *iccid = json_object_get(info, "iccid");
	const json_t *eid = json_object_get(info, "eid");
	const json_t *applet = json_object_get(info, "applet");
	size_t i;
	json_t *s;

	printf("card   %s\n", json_string_value(json_object_get(info, "card")));
	if (json_is_string(eid))
		printf("EID    %s\n", json_string_value(eid));
	if (applet)
		printf("applet %s, %s\n", json_string_value(json_object_get(applet, "version")),
			json_string_value(json_object_get(applet, "identifier")));
	printf("ICCID  %s\n", json_is_string(iccid) ? json_string_value(iccid) : "cannot be read");
	json_array_foreach(slots, i, s)
		printf("slot %" JSON_INTEGER_FORMAT " key %s, certificate %s, payload %s\n",
			json_integer_value(json_object_get(s, "slot")),
			json_string_value(json_object_get(s, "key")),
			json_is_true(json_object_get(s, "certificate")) ? "yes" : "no",
			json_is_true(json_object_get(s, "payload")) ? "yes" : "no");
}

int cmd_info(const struct run *run)
{
	struct iotsafe *card = run->argc == 0 ? cmd_open(run) : NULL;
	char iccid[IOTSAFE_ICCID_TEXT], eid[IOTSAFE_EID_TEXT];
	struct iotsafe_object *o;
	struct iotsafe_slot slot[IOTSAFE_SLOTS_MAX];
	struct iotsafe_applet applet;
	json_t *info = NULL, *slots;
	size_t n = 0, held;
	int code = EXIT_YES;

	if (run->argc != 0)
		return EXIT_USAGE;
	if (!card)
		return EXIT_CANNOT_TELL;
	o = list(run, card, &n, &code);
	if (!o)
		goto out;
	slots = json_array();
	held = iotsafe_slots(o, n, slot);
	for (size_t i = 0; i < held; i++)
		json_array_append_new(slots, slot_json(&slot[i]));
	info = json_pack(
		"{s:s, s:i, s:o}", "card", iotsafe_name(card), "objects", (int)n, "slots", slots);
	if (iotsafe_applet(card, &applet) == IOTSAFE_OK)
		json_object_set_new(info, "applet", applet_json(&applet));
	if (iotsafe_iccid(card, iccid) == IOTSAFE_OK)
		json_object_set_new(info, "iccid", json_string(iccid));
	if (iotsafe_eid(card, eid) == IOTSAFE_OK)
		json_object_set_new(info, "eid", json_string(eid));
	if (run->json) {
		cmd_print(info);
	} else {
		print_info(info);
		json_decref(info);
	}
out:
	free(o);
	iotsafe_close(card);
	return code;
}

/* One that hangs is reset by opening it already. */
int cmd_reset(const struct run *run)
{
	const char *how = getenv("IOTSAFE_RESET");
	struct iotsafe_options o = { .card = run->card, .reset = how && *how ? how : "at" };
	struct iotsafe *card = NULL;
	char error[IOTSAFE_ERROR_MAX] = "";
	enum iotsafe_error e;
	int code = EXIT_YES;

	if (run->argc != 0)
		return EXIT_USAGE;
	if (iotsafe_open(&o, &card, error, sizeof(error)) != IOTSAFE_OK)
		return cmd_fail(run, EXIT_CANNOT_TELL, error);
	e = iotsafe_reset(card);
	if (e != IOTSAFE_OK)
		code = cmd_card_error(run, card, e, "reset");
	else if (run->json)
		cmd_print(json_pack("{s:s, s:b}", "card", iotsafe_name(card), "reset", true));
	else
		printf("%s answers again\n", iotsafe_name(card));
	iotsafe_close(card);
	return code;
}

int cmd_discover(const struct run *run)
{
	struct iotsafe_found found[16];
	size_t n;

	if (run->argc != 0)
		return EXIT_USAGE;
	n = iotsafe_discover(found, ARRAY_LEN(found), 0);
	for (size_t i = 0; i < n && i < ARRAY_LEN(found); i++) {
		if (run->json)
			cmd_print(json_pack(
				"{s:s, s:s}", "card", found[i].card, "iccid", found[i].iccid));
		else
			printf("%s %s\n", found[i].card, found[i].iccid);
	}
	return n > 0 ? EXIT_YES
		     : cmd_fail(run, EXIT_CANNOT_TELL, "no card with an IoT SAFE applet");
}
