/* SPDX-License-Identifier: Apache-2.0 */
#include "card/at.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define APDU_HEX_MAX (2 * CARD_APDU_MAX)
#define CHANNEL_MAX  19

/* +CME ERROR numbers, 3GPP TS 27.007 section 9.2. */
enum cme {
	CME_OK = -1,
	CME_NOT_ALLOWED = 3,
	CME_NOT_SUPPORTED = 4,
	CME_NO_SIM = 10,
	CME_NOT_FOUND = 22,
	CME_PARAMETERS = 50
};

/* What each model says of itself; its own unsolicited lines, and the one after a start. */
struct at_model {
	const char *name;
	const char *maker, *model, *revision, *info;
	const char *urc, *ready;
};

static const struct at_model models[] = {
	{ "attestry", "attestry", "attestry-sim", "1", "attestry-sim", "+CREG: 1", "+CPIN: READY" },
	{ "bg96", "Quectel", "BG96", "BG96MAR02A07M1G",
		"Quectel\r\nBG96\r\nRevision: BG96MAR02A07M1G", "+QIND: \"csq\",20,99", "APP RDY" },
	{ "cinterion", "Cinterion", "PLS62-W", "REVISION 02.000",
		"Cinterion\r\nPLS62-W\r\nREVISION 02.000", "+CIEV: \"rssi\",4", "^SYSSTART" },
};

static void say(struct at_modem *m, const char *text)
{
	m->output(m->user, text, strlen(text));
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_letter(char c)
{
	return upper(c) >= 'A' && upper(c) <= 'Z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* +NAME, +NAME=args, +NAME?, +NAME=?; makers' own with '^', which stays in the name. */
static enum rc parse_extended(const char *s, struct at_command *c)
{
	size_t n = 0;

	if (*s == '^')
		c->name[n++] = *s;
	s++;
	while (is_letter(*s) || is_digit(*s)) {
		if (n == AT_NAME_MAX)
			return RC_MALFORMED;
		c->name[n++] = upper(*s++);
	}
	if (n == 0 || (n == 1 && c->name[0] == '^'))
		return RC_MALFORMED;
	c->args = "";
	if (*s == '?' && s[1] == '\0') {
		c->form = AT_READ;
	} else if (*s == '=' && s[1] == '?' && s[2] == '\0') {
		c->form = AT_TEST;
	} else if (*s == '=') {
		c->form = AT_SET;
		c->args = s + 1;
	} else if (*s != '\0') {
		return RC_MALFORMED;
	}
	return RC_OK;
}

enum rc at_parse(const char *line, struct at_command *out)
{
	struct at_command c = { .form = AT_EXECUTE, .args = "" };
	const char *s = line;
	enum rc rc = RC_OK;

	while (*s == ' ')
		s++;
	if (upper(s[0]) != 'A' || upper(s[1]) != 'T')
		return RC_MALFORMED;
	s += 2;
	if (*s == '+' || *s == '^') {
		rc = parse_extended(s, &c);
	} else if (*s != '\0') {
		size_t n = 0;

		if (*s == '&')
			c.name[n++] = *s++;
		if (!is_letter(*s))
			return RC_MALFORMED;
		c.name[n] = upper(*s);
		c.args = s + 1;
		for (s++; *s; s++)
			if (!is_digit(*s))
				return RC_MALFORMED;
	}
	if (rc == RC_OK)
		*out = c;
	return rc;
}

/* A decimal number, spaces around it, and what follows; -1 when there is none or it is large. */
static int take_number(const char **s)
{
	int v = 0, digits = 0;

	while (**s == ' ')
		(*s)++;
	for (; is_digit(**s); (*s)++) {
		v = v * 10 + (**s - '0');
		if (++digits > 4)
			return -1;
	}
	while (**s == ' ')
		(*s)++;
	return digits ? v : -1;
}

static bool take_comma(const char **s)
{
	while (**s == ' ')
		(*s)++;
	if (**s != ',')
		return false;
	(*s)++;
	return true;
}

/* Hex digits to the end of the line, with or without quotes. */
static enum rc take_hex(const char *s, uint8_t *out, size_t cap, size_t *len)
{
	char hex[APDU_HEX_MAX + 1];
	bool quoted;
	size_t n = 0;

	while (*s == ' ')
		s++;
	quoted = *s == '"';
	if (quoted)
		s++;
	while (*s && *s != '"' && *s != ' ') {
		if (n == APDU_HEX_MAX)
			return RC_TOO_LARGE;
		hex[n++] = *s++;
	}
	hex[n] = '\0';
	if (quoted && *s++ != '"')
		return RC_MALFORMED;
	while (*s == ' ')
		s++;
	if (*s != '\0')
		return RC_MALFORMED;
	return hex_read_upto(hex, out, cap, len);
}

/* Runs an APDU and answers `+NAME: <n>,"<HEX>"`. */
static void exchange(struct at_modem *m, const char *name, const uint8_t *apdu, size_t len)
{
	uint8_t resp[CARD_RESPONSE_MAX];
	char hex[2 * CARD_RESPONSE_MAX + 1], line[2 * CARD_RESPONSE_MAX + 64];
	struct put p = put_init(resp, sizeof(resp));

	card_session_apdu(m->session, apdu, len, &p);
	hex_write(resp, p.len, hex);
	for (char *c = hex; *c; c++)
		*c = upper(*c);
	if (str_format(line, sizeof(line), "\r\n+%s: %zu,\"%s\"\r\n", name, 2 * p.len, hex) ==
		RC_OK)
		say(m, line);
}

static enum cme do_csim(struct at_modem *m, const struct at_command *c)
{
	uint8_t apdu[CARD_APDU_MAX];
	const char *s = c->args;
	size_t len = 0;
	int n;

	if (c->form == AT_TEST)
		return CME_OK;
	if (c->form != AT_SET)
		return CME_NOT_SUPPORTED;
	n = take_number(&s);
	if (n < 0 || !take_comma(&s) || take_hex(s, apdu, sizeof(apdu), &len) != RC_OK ||
		(size_t)n != 2 * len)
		return CME_PARAMETERS;
	exchange(m, "CSIM", apdu, len);
	return CME_OK;
}

static uint16_t status_of(struct at_modem *m, const uint8_t *apdu, size_t len, uint8_t *first)
{
	uint8_t resp[CARD_RESPONSE_MAX];
	struct put p = put_init(resp, sizeof(resp));

	card_session_apdu(m->session, apdu, len, &p);
	if (p.len < 2)
		return 0;
	*first = resp[0];
	return (uint16_t)(resp[p.len - 2] << 8 | resp[p.len - 1]);
}

/* The class byte for a channel: 0X to 3, 4X from 4 on (TS 102 221 section 10.1.1). */
static uint8_t class_for(uint8_t cla, unsigned channel)
{
	if (channel < 4)
		return (uint8_t)((cla & 0xbc) | channel);
	return (uint8_t)((cla & 0x80) | 0x40 | (channel - 4));
}

/* Opens a channel and selects an application on it; the session's number is the channel's. */
static enum cme do_ccho(struct at_modem *m, const struct at_command *c)
{
	uint8_t apdu[5 + CARD_AID_MAX] = { 0x00, 0x70, 0x00, 0x00, 0x01 };
	uint8_t channel = 0, ignored;
	size_t len = 0;
	char line[32];

	if (c->form == AT_TEST)
		return CME_OK;
	if (c->form != AT_SET || take_hex(c->args, apdu + 5, CARD_AID_MAX, &len) != RC_OK ||
		len == 0)
		return CME_PARAMETERS;
	if (status_of(m, apdu, 5, &channel) != 0x9000)
		return CME_NOT_ALLOWED;
	memcpy(apdu, (const uint8_t[]){ class_for(0, channel), 0xa4, 0x04, 0x00, (uint8_t)len }, 5);
	if (status_of(m, apdu, 5 + len, &ignored) != 0x9000) {
		(void)status_of(
			m, (const uint8_t[]){ 0x00, 0x70, 0x80, channel, 0x00 }, 5, &ignored);
		return CME_NOT_FOUND;
	}
	if (str_format(line, sizeof(line), "\r\n+CCHO: %u\r\n", channel) == RC_OK)
		say(m, line);
	return CME_OK;
}

static enum cme do_cgla(struct at_modem *m, const struct at_command *c)
{
	uint8_t apdu[CARD_APDU_MAX];
	const char *s = c->args;
	size_t len = 0;
	int channel, n;

	if (c->form == AT_TEST)
		return CME_OK;
	if (c->form != AT_SET)
		return CME_NOT_SUPPORTED;
	channel = take_number(&s);
	if (channel < 1 || channel > CHANNEL_MAX || !take_comma(&s))
		return CME_PARAMETERS;
	n = take_number(&s);
	if (n < 0 || !take_comma(&s) || take_hex(s, apdu, sizeof(apdu), &len) != RC_OK ||
		(size_t)n != 2 * len || len == 0)
		return CME_PARAMETERS;
	apdu[0] = class_for(apdu[0], (unsigned)channel);
	exchange(m, "CGLA", apdu, len);
	return CME_OK;
}

static enum cme do_cchc(struct at_modem *m, const struct at_command *c)
{
	const char *s = c->args;
	uint8_t ignored;
	int channel;

	if (c->form == AT_TEST)
		return CME_OK;
	if (c->form != AT_SET)
		return CME_NOT_SUPPORTED;
	channel = take_number(&s);
	if (channel < 1 || channel > CHANNEL_MAX || *s != '\0')
		return CME_PARAMETERS;
	if (status_of(m, (const uint8_t[]){ 0x00, 0x70, 0x80, (uint8_t)channel, 0x00 }, 5,
		    &ignored) != 0x9000)
		return CME_NOT_FOUND;
	return CME_OK;
}

static enum cme do_iccid(struct at_modem *m, const struct at_command *c)
{
	const struct card *card = card_session_card(m->session);
	char text[64], iccid[IDENT_ICCID_TEXT];

	if (c->form == AT_SET)
		return CME_NOT_SUPPORTED;
	if (card_is_bare(card) || ident_iccid_write(card_iccid(card), iccid) != RC_OK)
		return CME_NO_SIM;
	for (char *p = iccid; *p; p++)
		*p = upper(*p);
	if (c->form != AT_TEST && str_format(text, sizeof(text), "\r\n%s%s: %s\r\n",
					  c->name[0] == '^' ? "" : "+", c->name, iccid) == RC_OK)
		say(m, text);
	return CME_OK;
}

static enum cme do_imsi(struct at_modem *m, const struct at_command *c)
{
	const struct card *card = card_session_card(m->session);
	char text[32];

	if (card_is_bare(card))
		return CME_NO_SIM;
	if (c->form == AT_EXECUTE &&
		str_format(text, sizeof(text), "\r\n%s\r\n", card_imsi(card)) == RC_OK)
		say(m, text);
	return c->form == AT_EXECUTE || c->form == AT_TEST ? CME_OK : CME_NOT_SUPPORTED;
}

static void line(struct at_modem *m, const char *text)
{
	say(m, "\r\n");
	say(m, text);
	say(m, "\r\n");
}

static enum cme do_text(struct at_modem *m, const struct at_command *c)
{
	const struct {
		const char *name;
		const char *text;
	} texts[] = { { "CGMI", m->model->maker }, { "GMI", m->model->maker },
		{ "CGMM", m->model->model }, { "GMM", m->model->model },
		{ "CGMR", m->model->revision }, { "GMR", m->model->revision },
		{ "I", m->model->info } };

	for (size_t i = 0; i < ARRAY_LEN(texts) && c->form == AT_EXECUTE; i++)
		if (strcmp(c->name, texts[i].name) == 0)
			line(m, texts[i].text);
	return CME_OK;
}

/* Two digits and what must follow; -1. */
static int take_two(const char **s, char after)
{
	int v;

	if (!is_digit((*s)[0]) || !is_digit((*s)[1]) || (*s)[2] != after)
		return -1;
	v = ((*s)[0] - '0') * 10 + ((*s)[1] - '0');
	*s += 3;
	return v;
}

/* "yy/MM/dd,hh:mm:ss" and a zone in quarters of an hour, TS 27.007 section 8.15. */
static bool take_time(const char *s, int64_t *out)
{
	struct tm tm = { 0 };
	time_t t;

	if (*s++ != '"')
		return false;
	tm.tm_year = 100 + take_two(&s, '/');
	tm.tm_mon = take_two(&s, '/') - 1;
	tm.tm_mday = take_two(&s, ',');
	tm.tm_hour = take_two(&s, ':');
	tm.tm_min = take_two(&s, ':');
	if (!is_digit(s[0]) || !is_digit(s[1]))
		return false;
	tm.tm_sec = (s[0] - '0') * 10 + (s[1] - '0');
	if (tm.tm_year < 100 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 ||
		tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
		tm.tm_min > 59 || tm.tm_sec > 59)
		return false;
	t = timegm(&tm);
	*out = (int64_t)t;
	return true;
}

static enum cme do_cclk(struct at_modem *m, const struct at_command *c)
{
	int64_t now = m->manners.clock->unix_s(m->manners.clock), then = 0;
	char text[40];
	struct tm tm;
	time_t t;

	if (c->form == AT_SET) {
		if (!take_time(c->args, &then))
			return CME_PARAMETERS;
		m->clock_offset_s = then - now;
		return CME_OK;
	}
	if (c->form != AT_READ)
		return c->form == AT_TEST ? CME_OK : CME_NOT_SUPPORTED;
	t = (time_t)(now + m->clock_offset_s);
	if (!gmtime_r(&t, &tm) ||
		strftime(text, sizeof(text), "+CCLK: \"%y/%m/%d,%H:%M:%S+00\"", &tm) == 0)
		return CME_NOT_ALLOWED;
	line(m, text);
	return CME_OK;
}

/* As if switched on: the line as at first, the card's channels closed. */
static void start_again(struct at_modem *m)
{
	card_session_reset(m->session);
	m->echo = m->manners.echo;
	m->cme = false;
	m->card_hangs = false;
}

/* AT+CFUN=1,1 is the way to reset a modem that still listens. */
static enum cme do_cfun(struct at_modem *m, const struct at_command *c)
{
	if (c->form == AT_READ)
		line(m, "+CFUN: 1");
	if (c->form != AT_SET)
		return c->form == AT_READ || c->form == AT_TEST ? CME_OK : CME_NOT_SUPPORTED;
	if (strcmp(c->args, "1") == 0)
		return CME_OK;
	if (strcmp(c->args, "1,1") != 0)
		return CME_NOT_SUPPORTED;
	start_again(m);
	say(m, "\r\nOK\r\n");
	line(m, m->model->ready);
	m->silent = true;
	return CME_OK;
}

/* A hang on demand. 0,s: no answer to anything for s seconds, after which it has started again by
 * itself. 1: no answer to card commands until AT+CFUN=1,1. */
static enum cme do_xhang(struct at_modem *m, const struct at_command *c)
{
	const char *s = c->args;
	int what, seconds = 0;

	if (c->form != AT_SET)
		return CME_NOT_SUPPORTED;
	what = take_number(&s);
	if (what == 0 && (!take_comma(&s) || (seconds = take_number(&s)) < 0))
		return CME_PARAMETERS;
	if (*s != '\0' || what < 0 || what > 1)
		return CME_PARAMETERS;
	if (what == 1) {
		m->card_hangs = true;
		return CME_OK;
	}
	m->hung = true;
	m->silent = true;
	m->hung_until_ms =
		m->manners.clock->monotonic_ms(m->manners.clock) + (uint64_t)seconds * 1000;
	return CME_OK;
}

static enum cme do_pin(struct at_modem *m, const struct at_command *c)
{
	if (c->form != AT_READ)
		return CME_NOT_ALLOWED;
	say(m, "\r\n+CPIN: READY\r\n");
	return CME_OK;
}

static enum cme do_cmee(struct at_modem *m, const struct at_command *c)
{
	if (c->form == AT_READ)
		say(m, m->cme ? "\r\n+CMEE: 1\r\n" : "\r\n+CMEE: 0\r\n");
	if (c->form == AT_SET)
		m->cme = c->args[0] == '1' || c->args[0] == '2';
	return CME_OK;
}

static enum cme do_echo(struct at_modem *m, const struct at_command *c)
{
	m->echo = c->args[0] == '1';
	return CME_OK;
}

/* Z and &F: back to how the line was at first. The card keeps its power. */
static enum cme do_reset(struct at_modem *m, const struct at_command *c)
{
	(void)c;
	m->echo = m->manners.echo;
	m->cme = false;
	return CME_OK;
}

static enum cme do_nothing(struct at_modem *m, const struct at_command *c)
{
	(void)m;
	(void)c;
	return CME_OK;
}

static const struct {
	const char *name;
	enum cme (*run)(struct at_modem *m, const struct at_command *c);
	bool card; /* hangs with the card */
} commands[] = {
	{ "", do_nothing, false },
	{ "E", do_echo, false },
	{ "I", do_text, false },
	{ "Z", do_reset, false },
	{ "&F", do_reset, false },
	{ "CSIM", do_csim, true },
	{ "CCHO", do_ccho, true },
	{ "CGLA", do_cgla, true },
	{ "CCHC", do_cchc, true },
	{ "CCID", do_iccid, true },
	{ "ICCID", do_iccid, true },
	{ "QCCID", do_iccid, true },
	{ "^SCID", do_iccid, true },
	{ "CIMI", do_imsi, true },
	{ "CGMI", do_text, false },
	{ "CGMM", do_text, false },
	{ "CGMR", do_text, false },
	{ "GMI", do_text, false },
	{ "GMM", do_text, false },
	{ "GMR", do_text, false },
	{ "CCLK", do_cclk, false },
	{ "CFUN", do_cfun, false },
	{ "CMEE", do_cmee, false },
	{ "CPIN", do_pin, false },
	{ "XHANG", do_xhang, false },
};

static enum cme run_line(struct at_modem *m)
{
	struct at_command c;

	if (m->overlong || at_parse(m->line, &c) != RC_OK)
		return CME_PARAMETERS;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(c.name, commands[i].name) != 0)
			continue;
		if (commands[i].card && m->card_hangs) {
			m->silent = true;
			return CME_OK;
		}
		return commands[i].run(m, &c);
	}
	return CME_NOT_SUPPORTED;
}

/* What does not start with AT is no command and has no answer (V.250 section 5.2.1): otherwise a
 * terminal that echoes would have us answer our own answers for ever. */
static bool is_command(const char *line)
{
	while (*line == ' ')
		line++;
	return upper(line[0]) == 'A' && upper(line[1]) == 'T';
}

static void end_line(struct at_modem *m)
{
	enum cme cme;
	char text[32];

	m->line[m->len] = '\0';
	if (!is_command(m->line)) {
		m->len = 0;
		m->overlong = false;
		return;
	}
	m->silent = false;
	m->count++;
	if (m->manners.urc_every && m->count % m->manners.urc_every == 0)
		line(m, m->model->urc);
	cme = run_line(m);
	if (m->silent)
		cme = CME_OK;
	else if (cme == CME_OK)
		say(m, "\r\nOK\r\n");
	else if (m->cme && str_format(text, sizeof(text), "\r\n+CME ERROR: %d\r\n", cme) == RC_OK)
		say(m, text);
	else
		say(m, "\r\nERROR\r\n");
	m->len = 0;
	m->overlong = false;
	mem_wipe(m->line, sizeof(m->line));
}

enum rc at_init(struct at_modem *modem, struct card_session *session,
	const struct at_manners *manners, at_output_fn *output, void *user)
{
	memset(modem, 0, sizeof(*modem));
	modem->session = session;
	modem->manners = *manners;
	modem->echo = manners->echo;
	modem->output = output;
	modem->user = user;
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		if (!manners->model || strcmp(models[i].name, manners->model) == 0) {
			modem->model = &models[i];
			return RC_OK;
		}
	return RC_NOT_FOUND;
}

/* Whether the line is dead; when its time is over, the modem starts again. */
static bool is_hung(struct at_modem *m)
{
	if (!m->hung)
		return false;
	if (m->manners.clock->monotonic_ms(m->manners.clock) < m->hung_until_ms)
		return true;
	m->hung = false;
	m->len = 0;
	start_again(m);
	line(m, m->model->ready);
	return false;
}

void at_input(struct at_modem *modem, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = (char)bytes[i];

		if (is_hung(modem))
			continue;
		if (modem->echo)
			modem->output(modem->user, &c, 1);
		if (c == '\r' || c == '\n') {
			end_line(modem);
		} else if (c == '\b' || c == 0x7f) {
			modem->len -= modem->len > 0;
		} else if (modem->len == AT_LINE_MAX) {
			modem->overlong = true;
		} else {
			/* A NUL would hide the rest of the line from the parser. */
			modem->line[modem->len++] = c ? c : ' ';
		}
	}
}
