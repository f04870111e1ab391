/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_vrrp.c: any bytes as an advert, of either version and family; what is accepted is fed to the
 * machine, and written back must be read the same. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "vrrp/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct vrrp_machine m = {.priority = 100, .advert_cs = 100, .preempt = true};
	struct vrrp_advert advert = {.ttl = VRRP_TTL}, again;
	uint8_t out[VRRP_PACKET_MOST];
	struct config_instance config = {.authentication = AUTHENTICATION_PASSWORD,
					 .password = "fuzz",
					 .advert_cs = 100,
					 .n_addresses = 1};
	struct vrrp_actions actions;
	uint8_t *copy;

	if (n < 2)
		return 0;
	advert.ipv6 = bytes[0] & 1;
	advert.version = m.version = bytes[0] & 4 && !advert.ipv6 ? 2 : 3;
	config.unicast = bytes[0] & 8;
	addr_parse(advert.ipv6 ? "fe80::1" : "192.0.2.1", &advert.src);
	addr_parse(advert.ipv6 ? "ff02::12" : "224.0.0.18", &advert.dst);
	again = advert;
	copy = malloc(n - 1); /* of its very size, for the sanitizer to see what is beyond */
	if (!copy)
		return 0;
	memcpy(copy, bytes + 1, n - 1);
	if (vrrp_decode(copy, n - 1, &advert) == VRRP_GOOD) {
		n = vrrp_encode(&advert, CHECKSUM_RFC5798, out);
		if (vrrp_decode(out, n, &again) != VRRP_GOOD ||
		    memcmp(&advert, &again, sizeof(again)) != 0)
			abort();
		vrrp_judge(&advert, &config);
		vrrp_step(&m, bytes[0] & 2 ? VRRP_RESUME : VRRP_STARTUP, NULL, 1000000, &actions);
		vrrp_step(&m, VRRP_ADVERT, &advert, 2000000, &actions);
		vrrp_step(&m, VRRP_TIMER, NULL, 100000000, &actions);
	}
	free(copy);
	return 0;
}
