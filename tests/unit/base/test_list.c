/* SPDX-License-Identifier: BSD-2-Clause */
/* base/list: order, removal, splicing. */
#include <criterion/criterion.h>

#include "base/list.h"

struct item {
	int n;
	struct list link;
};

static void fill(struct list *head, struct item *items, int first, int n)
{
	list_init(head);
	for (int i = 0; i < n; i++) {
		items[i].n = first + i;
		list_add_tail(head, &items[i].link);
	}
}

static void expect(struct list *head, int first, int n)
{
	struct list *l;

	list_for_each(l, head)
	{
		cr_assert_eq(list_entry(l, struct item, link)->n, first);
		first++;
		n--;
	}
	cr_assert_eq(n, 0);
}

Test(list, keeps_the_order_of_adding)
{
	struct list head;
	struct item items[3];

	fill(&head, items, 1, 3);
	expect(&head, 1, 3);
	cr_assert_eq(list_pop(&head), &items[0].link);
	expect(&head, 2, 2);
}

Test(list, forgets_what_was_deleted_even_twice)
{
	struct list head;
	struct item items[2];

	fill(&head, items, 1, 2);
	list_del(&items[0].link);
	list_del(&items[0].link);
	cr_assert(list_empty(&items[0].link));
	expect(&head, 2, 1);
}

Test(list, splices_behind_what_is_there)
{
	struct list a, b;
	struct item first[2], second[2];

	fill(&a, first, 1, 2);
	fill(&b, second, 3, 2);
	list_splice_tail(&a, &b);
	expect(&a, 1, 4);
	cr_assert(list_empty(&b));
	list_splice_tail(&a, &b);
	expect(&a, 1, 4);
}

Test(list, pops_nothing_from_an_empty_list)
{
	struct list head;

	list_init(&head);
	cr_assert_null(list_pop(&head));
}
