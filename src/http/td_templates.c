/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions to begin with; addresses and identifiers are examples, to be replaced. */
#include "http/td.h"

#include "base/compiler.h"

#define HEAD(id, type, title, text)                                                            \
	"{\n"                                                                                  \
	"  \"@context\": [\n"                                                                  \
	"    \"https://www.w3.org/2022/wot/td/v1.1\",\n"                                       \
	"    { \"saref\": \"https://saref.etsi.org/core/\", \"@language\": \"en\" }\n"         \
	"  ],\n"                                                                               \
	"  \"id\": \"urn:example:" id "\",\n"                                                  \
	"  \"@type\": \"" type "\",\n"                                                         \
	"  \"title\": \"" title "\",\n"                                                        \
	"  \"description\": \"" text "\",\n"                                                   \
	"  \"version\": { \"instance\": \"1.0.0\" },\n"                                        \
	"  \"base\": \"mqtts://mqtt.example:8883/\",\n"                                        \
	"  \"securityDefinitions\": {\n"                                                       \
	"    \"device\": { \"scheme\": \"auto\", \"description\": \"mutual TLS: the device's " \
	"certificate is attested in the DNS, the service's by TLSA\" }\n"                      \
	"  },\n"                                                                               \
	"  \"security\": \"device\",\n"

#define NUMBER(name, type, title, unit, op)                                         \
	"    \"" name "\": {\n      \"title\": \"" title "\", \"type\": \"" type    \
	"\", \"unit\": \"" unit "\", \"readOnly\": true, \"observable\": true,\n"   \
	"      \"forms\": [{ \"href\": \"meters/{device}/" name "\", \"op\": \"" op \
	"\", \"contentType\": \"application/json\" }]\n    }"

#define EVENT(name, title)                                      \
	"    \"" name "\": {\n      \"title\": \"" title        \
	"\", \"data\": { \"type\": \"string\" },\n"             \
	"      \"forms\": [{ \"href\": \"meters/{device}/" name \
	"\", \"op\": \"subscribeevent\", \"contentType\": \"application/json\" }]\n    }"

#define VARIABLES                                                                                 \
	"  \"uriVariables\": { \"device\": { \"type\": \"string\", \"description\": \"the owner " \
	"name, which is its user name too\" } }\n}\n"

static const struct td_template templates[] = {
	{ "parking-meter", "bays, payment, tariff, coin box",
		HEAD("parking-meter", "saref:Meter",
			"Parking meter", "Takes payment for parking bays and says which are taken") "  \"properties\": {\n" NUMBER("occupied",
			"integer", "Bays that are taken", "bays",
			"observeproperty") ",\n" NUMBER("battery", "number", "Battery", "percent",
			"observeproperty") ",\n"
					   "    \"tariff\": {\n      \"title\": "
					   "\"Tariff\", \"type\": \"object\", "
					   "\"required\": [\"currency\", "
					   "\"per_hour\"],\n      \"properties\": { "
					   "\"currency\": { \"type\": \"string\" }, "
					   "\"per_hour\": { "
					   "\"type\": \"number\", \"minimum\": 0 } },\n"
					   "      \"forms\": [{ \"href\": "
					   "\"meters/{device}/tariff\", \"op\": "
					   "[\"observeproperty\", "
					   "\"writeproperty\"], \"contentType\": "
					   "\"application/json\" }]\n    }\n  },\n"
					   "  \"actions\": {\n    \"display\": {\n      "
					   "\"title\": \"Show a text\", \"input\": { "
					   "\"type\": "
					   "\"string\", \"maxLength\": 80 },\n      "
					   "\"forms\": [{ \"href\": "
					   "\"meters/{device}/display\", "
					   "\"op\": \"invokeaction\", \"contentType\": "
					   "\"application/json\" }]\n    }\n  },\n"
					   "  \"events\": {\n    \"payment\": {\n      "
					   "\"title\": \"A bay was paid for\", "
					   "\"data\": {\n        "
					   "\"type\": \"object\", \"required\": "
					   "[\"bay\", \"until\"],\n        "
					   "\"properties\": { \"bay\": { "
					   "\"type\": \"string\" }, \"until\": { "
					   "\"type\": \"string\" }, \"amount\": { "
					   "\"type\": \"number\" } "
					   "}\n      },\n      \"forms\": [{ \"href\": "
					   "\"meters/{device}/payment\", \"op\": "
					   "\"subscribeevent\", \"contentType\": "
					   "\"application/json\" }]\n    },\n" EVENT("fault",
						   "Jam, open door, full coin "
						   "box") "\n  "
							  "},\n" VARIABLES },
	{ "water-meter", "volume, flow, leak",
		HEAD("water-meter", "saref:Meter", "Water meter",
			"Counts water and tells of leaks") "  \"properties\": {\n" NUMBER("volume",
			"number", "Volume since it was built in", "m3",
			"observeproperty") ",\n" NUMBER("flow", "number", "Flow", "m3/h",
			"observeproperty") ",\n" NUMBER("battery", "number", "Battery", "percent",
			"observeproperty") "\n  },\n"
					   "  \"events\": {\n" EVENT("leak",
						   "Water runs without a pause") "\n  "
										 "},\n" VARIABLES },
	{ "street-light", "level, power, faults",
		HEAD("street-light", "saref:Actuator", "Street light",
			"Is dimmed and tells of faults") "  \"properties\": {\n" NUMBER("power",
			"number", "Power", "W",
			"observeproperty") ",\n"
					   "    \"level\": {\n      \"title\": \"Level\", "
					   "\"type\": \"integer\", \"minimum\": 0, \"maximum\": "
					   "100, \"unit\": \"percent\",\n      \"forms\": [{ "
					   "\"href\": \"lights/{device}/level\", \"op\": "
					   "[\"observeproperty\", \"writeproperty\"], "
					   "\"contentType\": \"application/json\" }]\n    }\n  },\n"
					   "  \"events\": {\n" EVENT("fault",
						   "Lamp or driver") "\n  },\n" VARIABLES },
};

const struct td_template *td_template(size_t n)
{
	return n < ARRAY_LEN(templates) ? &templates[n] : NULL;
}
