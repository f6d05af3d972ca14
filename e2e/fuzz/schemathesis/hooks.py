"""What our OpenAPI documents cannot say: which values belong together, and what the system has heard of.

Bad requests are left as they are. Every answered request is counted, by operation and status.
"""

import atexit
import collections
import json
import os
import random

import schemathesis

RANDOM = random.Random(os.environ["OMS_FUZZ_SEED"])
COUNTS_FILE = os.environ["OMS_FUZZ_COUNTS"]

# The demo catalogue: what is priced in EUR and in stock for this tenant.
TENANT = "acme"
SKUS = json.loads(os.environ["OMS_FUZZ_SKUS"])

KEY = "idempotency-key"
TENANT_HEADER = "x-tenant-id"

# What was accepted, as tenant and order, and cursors that were given, by path: the last few of each.
made = collections.deque(((TENANT, order) for order in json.loads(os.environ["OMS_FUZZ_ORDERS"])), maxlen=200)
cursors = collections.defaultdict(lambda: collections.deque(maxlen=20))
counts = collections.defaultdict(collections.Counter)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "orderId" in case.path_parameters and made and RANDOM.random() < 0.5:
        tenant, order_id = RANDOM.choice(made)
        case.path_parameters["orderId"] = order_id
        case.headers[TENANT_HEADER] = tenant
    if "cursor" in case.query:
        use_a_given_cursor(case)
    if isinstance(case.body, dict):
        if "lines" in case.body:
            order_from_the_catalogue(case)
        agree_on_the_order(case)


def use_a_given_cursor(case):
    """Cursors are opaque: only the service makes good ones."""
    given = cursors[case.path]
    if given:
        case.query["cursor"] = RANDOM.choice(given)
    else:
        del case.query["cursor"]


def order_from_the_catalogue(case):
    case.headers[TENANT_HEADER] = TENANT
    skus = RANDOM.sample(SKUS, min(len(SKUS), len(case.body["lines"])))
    case.body["lines"] = [{**line, "sku": sku} for line, sku in zip(case.body["lines"], skus)]
    if "currency" in case.body:
        case.body["currency"] = "EUR"


def agree_on_the_order(case):
    """A request between the services names its order in its key, too; a refund its number."""
    if "order_id" in case.body:
        case.headers[KEY] = case.body["order_id"]
    elif "refund_no" in case.body:
        case.headers[KEY] = f"{case.path_parameters['orderId']}:r{int(case.body['refund_no'])}"


@schemathesis.hook
def after_call(context, case, response):
    counts[case.operation.label][response.status_code] += 1
    if response.status_code not in (200, 201, 202):
        return
    body = response.json()
    if response.status_code != 200 and not case.path_parameters:
        made.append((case.headers[TENANT_HEADER], body["order_id"]))
    if body.get("next_cursor"):
        cursors[case.path].append(body["next_cursor"])


@atexit.register
def write_counts():
    with open(COUNTS_FILE, "w", encoding="utf-8") as file:
        json.dump(counts, file)
