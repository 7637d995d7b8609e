/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe.h"

#include <curl/curl.h>
#include <stdio.h>

/* device_curl URL CA: libcurl in its plain form, the key on IOTSAFE_CARD. What the server sent goes
 * to standard output. */

static CURLcode use_card(CURL *curl, void *ssl_ctx, void *card)
{
	(void)curl;
	return iotsafe_ssl_ctx_use(card, 1, ssl_ctx) == IOTSAFE_OK ? CURLE_OK
								   : CURLE_SSL_CERTPROBLEM;
}

int main(int argc, char **argv)
{
	char error[IOTSAFE_ERROR_MAX] = "";
	struct iotsafe *card = NULL;
	CURL *curl = curl_easy_init();
	CURLcode rc = CURLE_FAILED_INIT;

	if (argc != 3 || !curl || iotsafe_open(NULL, &card, error, sizeof(error)) != IOTSAFE_OK) {
		(void)fprintf(stderr, "device_curl URL CA: %s\n", error);
		return 2;
	}
	(void)curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
	(void)curl_easy_setopt(curl, CURLOPT_CAINFO, argv[2]);
	(void)curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, use_card);
	(void)curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, card);
	rc = curl_easy_perform(curl);
	if (rc != CURLE_OK)
		(void)fprintf(stderr, "%s: %s\n", curl_easy_strerror(rc), iotsafe_last_error(card));
	curl_easy_cleanup(curl);
	iotsafe_close(card);
	return rc == CURLE_OK ? 0 : 1;
}
