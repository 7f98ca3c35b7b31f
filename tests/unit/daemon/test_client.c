/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/client: the lines for each VMM, and the quotes that they need. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/client.h"

static struct client_facts facts = {
	.name = "vm1",
	.socket = "/run/vringd/vm1.sock",
	.serial = "S1",
	.queues = 16,
	.queue_size = 1024,
};
static char *text;

static void put(void)
{
	free(text);
}

TestSuite(client, .fini = put);

static const char *make(const char *word)
{
	enum client_kind kind = client_find(word);

	cr_assert_neq(kind, CLIENT_NR_KINDS, "%s", word);
	free(text);
	text = client_text(&facts, kind);
	cr_assert_not_null(text);
	return text;
}

static void expect(const char *word, const char *part)
{
	cr_assert_not_null(strstr(make(word), part), "no %s in:\n%s", part,
			   text);
}

static void expect_none(const char *word, const char *part)
{
	cr_assert_null(strstr(make(word), part), "%s in:\n%s", part, text);
}

Test(client, knows_its_words)
{
	cr_assert_str_eq(client_words(),
			 "qemu, libvirt, cloud-hypervisor, firecracker, "
			 "crosvm, uml");
	cr_assert_eq(client_find("qemu"), CLIENT_qemu);
	cr_assert_eq(client_find("uml"), CLIENT_uml);
	cr_assert_eq(client_find("xen"), CLIENT_NR_KINDS);
	cr_assert_eq(client_find(""), CLIENT_NR_KINDS);
}

Test(client, tells_each_vmm_in_its_words)
{
	expect("qemu",
	       "\n-m 4G \\\n"
	       "-object memory-backend-memfd,id=mem,size=4G,share=on \\\n"
	       "-machine memory-backend=mem \\\n"
	       "-chardev socket,id=vringd-vm1,path=/run/vringd/vm1.sock,"
	       "reconnect=1 \\\n"
	       "-device vhost-user-blk-pci,chardev=vringd-vm1,num-queues=4,"
	       "queue-size=256\n");
	expect("libvirt", "\n<disk type='vhostuser' device='disk'>\n"
			  "  <driver name='qemu' type='raw' queues='4' "
			  "queue_size='256'/>\n"
			  "  <source type='unix' path='/run/vringd/vm1.sock'>\n"
			  "    <reconnect enabled='yes' timeout='1'/>\n"
			  "  </source>\n"
			  "  <target dev='vda' bus='virtio'/>\n"
			  "</disk>\n");
	expect("libvirt", "<access mode='shared'/>");
	expect("libvirt", "       \"/run/vringd/vm1.sock\" rw,\n");
	expect("cloud-hypervisor",
	       "\n--cpus boot=4 \\\n"
	       "--memory size=4G,shared=on \\\n"
	       "--disk vhost_user=true,socket=/run/vringd/vm1.sock,"
	       "num_queues=4,queue_size=256\n");
	expect("firecracker",
	       "\n\t-d '{\"drive_id\": \"vm1\", \"socket\": "
	       "\"/run/vringd/vm1.sock\", \"is_root_device\": false, "
	       "\"cache_type\": \"Writeback\"}' \\\n"
	       "\thttp://localhost/drives/vm1\n");
	expect("crosvm", "\n--vhost-user type=block,"
			 "socket=/run/vringd/vm1.sock,max-queue-size=256\n");
	expect("uml", "\nvirtio_uml.device=/run/vringd/vm1.sock:2\n");
}

Test(client, stays_within_what_the_target_has)
{
	facts.queues = 2;
	facts.queue_size = 128;
	expect("qemu", "num-queues=2,queue-size=128\n");
	expect("qemu", "# At most 2 queues");
	expect("libvirt", "queues='2' queue_size='128'");
	expect("cloud-hypervisor", "--cpus boot=2 ");
	expect("cloud-hypervisor", ",num_queues=2,queue_size=128\n");
	expect("firecracker", "set its queue-size to 256 first");
	expect("crosvm", ",max-queue-size=128\n");
	expect("uml", "# Its queue has 128 entries.");
	facts.queue_size = 256;
	expect_none("firecracker", "queue-size");
	expect_none("uml", "entries");
}

Test(client, asks_for_packed_rings_where_they_are_offered)
{
	expect_none("qemu", "packed");
	expect_none("libvirt", "packed");
	expect_none("uml", "packed");
	facts.packed = true;
	expect("qemu", ",queue-size=256,packed=on\n");
	expect("libvirt", "queue_size='256' packed='on'/>");
	expect("uml", "# It hangs when packed rings are offered: ");
}

Test(client, says_what_the_guest_will_see)
{
	static const char *const words[] = {"qemu",	   "libvirt",
					    "firecracker", "cloud-hypervisor",
					    "crosvm",	   "uml"};

	for (unsigned i = 0; i < 6; i++) {
		facts.read_only = false;
		expect(words[i], "The guest sees the serial number S1.\n");
		facts.read_only = true;
		expect(words[i],
		       "number S1, and that the disk is read-only.\n");
	}
	expect("uml", "memory-files: any");
	facts.any_memory = true;
	expect_none("uml", "memory-files");
}

/* Every line that is no comment, as a shell takes it. */
static void expect_words(const char *kind, const char *words)
{
	char command[4096], got[4096];
	FILE *f;

	snprintf(command, sizeof(command), "printf '[%%s]' %s", make(kind));
	/* The comments come first, so the words would be one of them. */
	char *first = strchr(command, '#');

	cr_assert_not_null(first);
	for (char *p = first; p && *p == '#';) {
		char *end = strchr(p, '\n');

		memset(p, ' ', (size_t)(end + 1 - p));
		p = end + 1;
	}
	f = popen(command, "r");
	cr_assert_not_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	cr_assert_eq(pclose(f), 0);
	cr_assert_not_null(strstr(got, words), "no %s in %s of\n%s", words, got,
			   command);
}

Test(client, quotes_what_a_shell_would_take_apart)
{
	facts.name = "0.a-b";
	facts.socket = "/run/it's a, \"b\" $(c) \\d.sock";
	expect_words("qemu", "[socket,id=vringd-0.a-b,path="
			     "/run/it's a,, \"b\" $(c) \\d.sock,reconnect=1]");
	expect_words("cloud-hypervisor",
		     "[vhost_user=true,socket=\"/run/it's a, \\\"b\\\" $(c) "
		     "\\\\d.sock\",num_queues=4,queue_size=256]");
	expect_words("crosvm", "[type=block,socket=\"/run/it's a, \\\"b\\\" "
			       "$(c) \\\\d.sock\",max-queue-size=256]");
	expect_words("firecracker", "[{\"drive_id\": \"0_a_b\", \"socket\": "
				    "\"/run/it's a, \\\"b\\\" $(c) "
				    "\\\\d.sock\", \"is_root_device\"");
	expect_words("firecracker", "[http://localhost/drives/0_a_b]");
	expect_words("uml", "[virtio_uml.device=/run/it's a, \"b\" $(c) "
			    "\\d.sock:2]");
}

Test(client, escapes_xml)
{
	facts.socket = "/run/<a>'&\".sock";
	expect("libvirt", "path='/run/&lt;a>&apos;&amp;\".sock'");
	facts.socket = "/run/a--b.sock";
	expect("libvirt", "\"(the path above)\" rw,");
}
