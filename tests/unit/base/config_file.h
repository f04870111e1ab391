/* SPDX-License-Identifier: BSD-2-Clause */
/* config_file.h: files for config_load() in a folder of their own, and pieces of text that are
 * good, to put a mistake between.
 */
#ifndef SLUICE_TESTS_CONFIG_FILE_H
#define SLUICE_TESTS_CONFIG_FILE_H

#include "base/config.h"

/* The probe type "smtp" of these tests; the others, "tcp", "imap" and "post"
 * (STARTTLS by default, never implicit TLS), have no keys. */
struct smtp_conf {
	char ehlo[32];
	int32_t code;
	bool deep;
};

extern char config_folder[];
int config_folder_make(void **state);
int config_folder_remove(void **state); /* with the files that are there */

/* config_file_write: its path, good until the next call. Text with @include finds its neighbours.
 */
const char *config_file_write(const char *name, const char *text, size_t n);
/* config_file_load: the mistakes, without the folder, to free(); NULL when it is good (then
 * *ret_config, which may be NULL, has the value).
 */
char *config_file_load(const char *path, const char *node, struct config **ret_config);
/* config_good_load: of this text, which has no mistake, as that node reads it. */
struct config *config_good_load(const char *text, const char *node);
/* assert_mistakes: of this text as file "f", for node lb1. */
void assert_mistakes(const char *text, const char *mistakes);

#define GOOD_NODES "nodes = ( { name = \"lb1\"; interfaces = [ \"eth0\" ]; } );\n"
#define GOOD_VRRP                                                                                  \
	"vrrp = ( { name = \"m\"; vrid = 1; priorities = { lb1 = 200; }; addresses = [ \"192.0.2.10/24\" ]; } );\n"
#define GOOD_POOLS                                                                                 \
	"pools = ( { name = \"mx\"; port = 25; probe = \"smtp\"; backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); } );\n"
#define GOOD_SERVICES                                                                              \
	"services = ( { name = \"s\"; vip = \"192.0.2.10\"; port = 25; pool = \"mx\"; } );\n"
#define POOL(inside)                                                                               \
	GOOD_NODES GOOD_VRRP                                                                       \
		"pools = ( { name = \"mx\"; port = 25;\n" inside                                   \
		" backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); } );\n" GOOD_SERVICES
#define BACKENDS(inside)                                                                           \
	GOOD_NODES GOOD_VRRP "pools = ( { name = \"mx\"; port = 25; backends = (\n" inside         \
			     " ); } );\n" GOOD_SERVICES
#define VRRP(inside)                                                                               \
	GOOD_NODES "vrrp = ( { name = \"m\"; priorities = { lb1 = 200; };\n" inside                \
		   " } );\n" GOOD_POOLS GOOD_SERVICES
#define SERVICES(inside) GOOD_NODES GOOD_VRRP GOOD_POOLS "services = (\n" inside " );\n"

#endif
