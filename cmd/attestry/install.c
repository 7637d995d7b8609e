/* SPDX-License-Identifier: Apache-2.0 */
/* attestry device install: for whoever mounts it: live or not, and what to do; as text, as a QR
 * code, or as a page to print. */
#include "install.h"

#include "base/file.h"
#include "base/str.h"

#include <qrencode.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUIET 4 /* modules of margin, ISO/IEC 18004 */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* What is in the QR code: readable as it is, without network and without an app of ours. */
static char *advice_text(const json_t *answer)
{
	time_t t = (time_t)json_integer_value(json_object_get(answer, "time"));
	char *text = NULL, when[32];
	const json_t *slot;
	struct tm tm;
	size_t len = 0, i;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", gmtime_r(&t, &tm));
	fprintf(to, "DEVICE %s\n%s\n%s\n", text_of(answer, "iccid"),
		json_is_true(json_object_get(answer, "live")) ? "LIVE" : "NOT LIVE",
		text_of(answer, "advice"));
	json_array_foreach(json_object_get(answer, "slots"), i, slot)
	{
		fprintf(to, "%lld %s: %s\n",
			(long long)json_integer_value(json_object_get(slot, "slot")),
			text_of(slot, "service"), text_of(slot, "advice"));
	}
	fprintf(to, "as of %s", when);
	return fclose(to) == 0 ? text : NULL;
}

static bool dark(const QRcode *q, int x, int y)
{
	return x >= 0 && y >= 0 && x < q->width && y < q->width && (q->data[y * q->width + x] & 1);
}

/* Two rows of modules in a line of half blocks, light on dark as most terminals are. */
static void print_qr(const QRcode *q)
{
	for (int y = -QUIET; y < q->width + QUIET; y += 2) {
		for (int x = -QUIET; x < q->width + QUIET; x++) {
			bool top = !dark(q, x, y), bottom = !dark(q, x, y + 1);

			fputs(top && bottom ? "\u2588"
				: top	    ? "\u2580"
				: bottom    ? "\u2584"
					    : " ",
				stdout);
		}
		putchar('\n');
	}
}

static void put_escaped(FILE *to, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<': fputs("&lt;", to); break;
		case '>': fputs("&gt;", to); break;
		case '&': fputs("&amp;", to); break;
		case '"': fputs("&quot;", to); break;
		case '\n': fputs("<br>\n", to); break;
		default: fputc(*text, to);
		}
	}
}

/* One page without anything from elsewhere. */
static int write_page(const char *path, const char *text, const QRcode *q, bool live)
{
	struct diag d = { 0 };
	char *page = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&page, &len);
	int side = q->width + 2 * QUIET, code = EXIT_DONE;

	if (!to)
		return cli_error(EXIT_USAGE, "out of memory");
	fprintf(to,
		"<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Device</title>\n"
		"<style>body{font:20px sans-serif;margin:2em}p{padding:.5em;border:4px solid %s}"
		"svg{width:10em;height:10em}</style>\n<p>",
		live ? "#080" : "#c00");
	put_escaped(to, text);
	fprintf(to,
		"</p>\n<svg viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\" "
		"role=\"img\" aria-label=\"the same text\"><path d=\"",
		side, side);
	for (int y = 0; y < q->width; y++)
		for (int x = 0; x < q->width; x++)
			if (dark(q, x, y))
				fprintf(to, "M%d %dh1v1h-1z", x + QUIET, y + QUIET);
	fputs("\"/></svg>\n</html>\n", to);
	if (fclose(to) != 0 || file_write_atomic(path, page, len, 0644, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text[0] ? d.text : "out of memory");
	free(page);
	return code;
}

static int show(struct cli *cli, const json_t *answer)
{
	bool live = json_is_true(json_object_get(answer, "live"));
	const char *page = cli_opt(cli, "html");
	char *text = advice_text(answer);
	QRcode *q = text ? QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M) : NULL;
	int code = live ? EXIT_DONE : EXIT_REFUSED;

	if (!q) {
		free(text);
		return cli_error(EXIT_USAGE, "the text does not fit a QR code");
	}
	if (cli->json)
		out_json(answer);
	else
		puts(text);
	if (cli_opt(cli, "qr") && !cli->json)
		print_qr(q);
	if (page && write_page(page, text, q, live) != EXIT_DONE)
		code = EXIT_USAGE;
	QRcode_free(q);
	free(text);
	return code;
}

int device_install(struct cli *cli)
{
	json_t *answer = NULL;
	char iccid[32];
	int code = cli_iccid(cli->args[0], iccid);

	if (code == EXIT_DONE)
		code = cli_call(cli, "GET", NULL, &answer, "/v1/devices/%s/install", iccid);
	if (code == EXIT_DONE)
		code = show(cli, answer);
	json_decref(answer);
	return code;
}
