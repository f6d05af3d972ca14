/** Orders, prices, the outbox and the feed: tables, guards, tenants and one function per state change. */
import { type Kysely, sql } from 'kysely'

const tables = `
CREATE TABLE oms.orders (
  tenant_id text NOT NULL,
  order_id uuid NOT NULL,
  fp bytea,
  state smallint NOT NULL,
  verdict text NOT NULL DEFAULT 'none',
  reason text,
  detail jsonb,
  currency text NOT NULL DEFAULT '',
  amount_minor bigint NOT NULL DEFAULT 0,
  lines jsonb NOT NULL,
  payment_token text,
  cancel_requested_at timestamptz,
  decide_at timestamptz NOT NULL,
  next_run_at timestamptz,
  finished_at timestamptz,
  attempt integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- A state that is not listed takes any verdict, as a CHECK passes on NULL. Data, for every statement that writes reads and
  -- plans its CHECKs anew: as sixteen comparisons this one took 0.09 of an INSERT's 0.32 ms.
  CONSTRAINT verdict_by_state CHECK ('{"10": ["none"], "30": ["none"], "35": ["captured"],
    "40": ["declined", "voided", "refunded"], "100": ["captured"], "110": ["none"], "120": ["declined"],
    "130": ["voided", "refunded"]}'::jsonb -> state::text ? verdict),
  CONSTRAINT cancel_by_state CHECK (CASE state
    WHEN 35 THEN cancel_requested_at IS NOT NULL WHEN 100 THEN cancel_requested_at IS NULL ELSE true END),
  CONSTRAINT final_rests CHECK ((state >= 100) = (next_run_at IS NULL)),
  CONSTRAINT final_is_dated CHECK ((state >= 100) = (finished_at IS NOT NULL)),
  -- Only a tombstone has no fingerprint, no lines and no price.
  CONSTRAINT priced CHECK (fp IS NULL OR (amount_minor > 0 AND currency <> ''))
);
-- Not WHERE state < 100, which says the same: of nearly no unfinished orders the planner would read all, dead rows
-- included, to find one of them by its key and state.
CREATE INDEX orders_due ON oms.orders (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX orders_newest ON oms.orders (tenant_id, created_at DESC, order_id);
-- Last: on an empty table both indexes cost the same and the younger one is taken. The other way round the plans of the
-- first minutes would skip through orders_newest, all of a tenant's orders, to find one.
ALTER TABLE oms.orders ADD PRIMARY KEY (tenant_id, order_id);

CREATE TABLE oms.price (
  tenant_id text NOT NULL,
  sku text NOT NULL,
  currency text NOT NULL,
  unit_price_minor bigint NOT NULL CHECK (unit_price_minor BETWEEN 1 AND 1000000000),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, sku, currency)
);

CREATE TABLE oms.outbox (
  tenant_id text NOT NULL,
  order_id uuid NOT NULL,
  type text NOT NULL,
  body jsonb NOT NULL,
  next_try_at timestamptz NOT NULL DEFAULT now(),
  attempt integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, order_id, type)
);
CREATE INDEX outbox_due ON oms.outbox (next_try_at);

CREATE TABLE oms.order_event (
  tenant_id text NOT NULL,
  seq bigint NOT NULL,
  order_id uuid NOT NULL,
  type text NOT NULL,
  body jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, seq),
  UNIQUE (tenant_id, order_id, type)
);

-- The tenant's last number. Its row lock makes publishers take turns, so that no reader sees a gap that fills later.
CREATE TABLE oms.event_tail (
  tenant_id text PRIMARY KEY,
  last_seq bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);`

/** Backstop, not control flow. Equal states are leases and deferrals; unlisted states are never touched. */
const guards = `
CREATE FUNCTION oms.guard_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state >= 100 THEN
    RAISE EXCEPTION 'order %: is final in state % and never changes', OLD.order_id, OLD.state;
  END IF;
  IF NEW.fp IS DISTINCT FROM OLD.fp OR NEW.amount_minor <> OLD.amount_minor
     OR NEW.currency <> OLD.currency OR NEW.lines <> OLD.lines THEN
    RAISE EXCEPTION 'order %: fp, amount, currency and lines never change', OLD.order_id;
  END IF;
  IF OLD.cancel_requested_at IS NOT NULL AND NEW.cancel_requested_at IS DISTINCT FROM OLD.cancel_requested_at THEN
    RAISE EXCEPTION 'order %: a requested cancel stays requested', OLD.order_id;
  END IF;
  IF NEW.state = ANY (CASE OLD.state
    WHEN 10 THEN '{10, 30, 35, 40, 100, 110}'::smallint[]
    WHEN 30 THEN '{30, 35, 40, 100}'
    WHEN 35 THEN '{35, 40}'
    WHEN 40 THEN '{40, 120, 130}' END) THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'order %: no transition from % to %', OLD.order_id, OLD.state, NEW.state;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON oms.orders FOR EACH ROW EXECUTE FUNCTION oms.guard_order();`

const tenants = `${['orders', 'price', 'outbox', 'order_event', 'event_tail']
  .map(
    (table) => `
ALTER TABLE oms.${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE oms.${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oms.${table} TO oms_order
  USING (tenant_id = current_setting('oms.tenant')) WITH CHECK (tenant_id = current_setting('oms.tenant'));`,
  )
  .join('')}
CREATE POLICY every_tenant ON oms.orders TO oms_order_sweeper USING (true);
CREATE POLICY every_tenant ON oms.outbox TO oms_order_sweeper USING (true);
GRANT SELECT, UPDATE ON oms.orders, oms.outbox TO oms_order_sweeper;
GRANT SELECT, INSERT, UPDATE ON oms.orders, oms.price, oms.event_tail TO oms_order;
GRANT SELECT, INSERT, DELETE ON oms.outbox TO oms_order;
-- Append-only.
GRANT SELECT, INSERT ON oms.order_event TO oms_order;`

/** What stands now, whoever wrote it; an end that this call wrote is announced. */
const announceOrKeep = `
  IF FOUND THEN
    role := 'written';
    IF o.state >= 100 THEN
      v_end := CASE o.state WHEN 100 THEN 'confirmed' WHEN 110 THEN 'rejected' WHEN 120 THEN 'declined' WHEN 130 THEN 'cancelled' END;
      INSERT INTO oms.outbox (tenant_id, order_id, type, body) VALUES (p_t, p_o, 'order.' || v_end,
        jsonb_build_object('state', v_end, 'currency', o.currency, 'amount_minor', o.amount_minor));
    END IF;
  ELSE
    SELECT * INTO o FROM oms.orders WHERE tenant_id = p_t AND order_id = p_o;
    IF NOT FOUND THEN RETURN; END IF;
    role := 'kept';
  END IF;
  entity := to_json(o); due := o.decide_at <= now(); RETURN NEXT;`

/** Of `defer_order`: until the next pass. */
const pause = `CASE WHEN p_soon THEN interval '1 s'
      ELSE least(interval '10 s', interval '0.5 s' * power(2, least(attempt, 10))) * (0.5 + random()) END`

const returnsOrder = 'RETURNS TABLE (role text, entity json, due boolean) LANGUAGE plpgsql VOLATILE'

/** Each: one call, one round trip, one commit. `entity` is the row as JSON; `due` by the database's clock. */
const functions = `
CREATE FUNCTION oms.accept_order(p_t text, p_o uuid, p_fp bytea, p_currency text, p_lines jsonb, p_token text)
${returnsOrder} AS $$
DECLARE o oms.orders; v_lines jsonb; v_amount numeric; v_unpriced jsonb;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  SELECT jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity, 'unit_price_minor', p.unit_price_minor) ORDER BY l.sku),
         sum(l.quantity * p.unit_price_minor), jsonb_agg(l.sku) FILTER (WHERE p.sku IS NULL)
    INTO v_lines, v_amount, v_unpriced
    FROM jsonb_to_recordset(p_lines) AS l (sku text, quantity bigint)
    LEFT JOIN LATERAL (SELECT q.sku, q.unit_price_minor FROM oms.price q
      WHERE q.tenant_id = p_t AND q.sku = l.sku AND q.currency = p_currency LIMIT 1) p ON true;
  due := false;
  IF v_unpriced IS NULL AND v_amount <= 1000000000000 THEN
    INSERT INTO oms.orders (tenant_id, order_id, fp, state, currency, amount_minor, lines, payment_token, decide_at, next_run_at)
      VALUES (p_t, p_o, p_fp, 10, p_currency, v_amount, v_lines, p_token, now() + interval '60 s', now() + interval '12 s')
      ON CONFLICT DO NOTHING RETURNING * INTO o;
    IF FOUND THEN role := 'fresh'; entity := to_json(o); RETURN NEXT; RETURN; END IF;
  END IF;
  -- A second statement has a snapshot that sees the winner.
  SELECT * INTO o FROM oms.orders WHERE tenant_id = p_t AND order_id = p_o;
  IF NOT FOUND THEN
    role := CASE WHEN v_unpriced IS NULL THEN 'amount_too_large' ELSE 'unknown_sku' END;
    entity := v_unpriced; RETURN NEXT; RETURN;
  END IF;
  IF o.fp <> p_fp THEN role := 'conflict';
  ELSIF o.state >= 100 THEN role := 'final';
  ELSE
    UPDATE oms.orders SET next_run_at = now() + interval '12 s', attempt = attempt + 1
     WHERE tenant_id = p_t AND order_id = p_o AND state IN (10, 30, 35, 40) AND next_run_at <= now() RETURNING * INTO o;
    IF FOUND THEN role := 'resumed';
    ELSE
      SELECT * INTO o FROM oms.orders WHERE tenant_id = p_t AND order_id = p_o;
      role := CASE WHEN o.state >= 100 THEN 'final' ELSE 'running' END;
    END IF;
  END IF;
  entity := to_json(o); due := o.decide_at <= now(); RETURN NEXT;
END $$;

CREATE FUNCTION oms.load_order(p_t text, p_o uuid)
${returnsOrder} AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY SELECT 'read', to_json(o), o.decide_at <= now() FROM oms.orders o WHERE o.tenant_id = p_t AND o.order_id = p_o;
END $$;

CREATE FUNCTION oms.apply_rejected(p_t text, p_o uuid, p_detail jsonb)
${returnsOrder} AS $$
DECLARE o oms.orders; v_end text;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.orders SET state = 110, reason = 'out_of_stock', detail = p_detail, payment_token = NULL,
     next_run_at = NULL, finished_at = now()
   WHERE tenant_id = p_t AND order_id = p_o AND state = 10 RETURNING * INTO o;${announceOrKeep}
END $$;

-- The row lock decides between a verdict and a cancel: whichever commits first is seen by the other.
CREATE FUNCTION oms.apply_verdict(p_t text, p_o uuid, p_verdict text, p_detail jsonb)
${returnsOrder} AS $$
DECLARE o oms.orders; v_end text;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.orders SET
     state = CASE WHEN p_verdict <> 'captured' THEN 40 WHEN cancel_requested_at IS NULL THEN 100 ELSE 35 END,
     verdict = p_verdict,
     reason = CASE WHEN p_verdict = 'captured' THEN NULL WHEN p_verdict = 'declined' THEN 'payment_declined'
       WHEN cancel_requested_at IS NOT NULL THEN 'cancelled_by_client' ELSE 'timed_out' END,
     detail = p_detail, payment_token = NULL,
     next_run_at = CASE WHEN p_verdict <> 'captured' OR cancel_requested_at IS NOT NULL THEN next_run_at END,
     finished_at = CASE WHEN p_verdict = 'captured' AND cancel_requested_at IS NULL THEN now() END
   WHERE tenant_id = p_t AND order_id = p_o AND state IN (10, 30) RETURNING * INTO o;${announceOrKeep}
END $$;

CREATE FUNCTION oms.apply_refunded(p_t text, p_o uuid)
${returnsOrder} AS $$
DECLARE o oms.orders; v_end text;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.orders SET state = 40, verdict = 'refunded', reason = 'cancelled_by_client'
   WHERE tenant_id = p_t AND order_id = p_o AND state = 35 RETURNING * INTO o;${announceOrKeep}
END $$;

CREATE FUNCTION oms.apply_released(p_t text, p_o uuid)
${returnsOrder} AS $$
DECLARE o oms.orders; v_end text;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.orders SET state = CASE verdict WHEN 'declined' THEN 120 ELSE 130 END, next_run_at = NULL, finished_at = now()
   WHERE tenant_id = p_t AND order_id = p_o AND state = 40 RETURNING * INTO o;${announceOrKeep}
END $$;

-- The flag is durable and the lease taken before anybody sends a void.
CREATE FUNCTION oms.request_cancel(p_t text, p_o uuid)
${returnsOrder} AS $$
DECLARE o oms.orders;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.orders SET cancel_requested_at = now(), next_run_at = now() + interval '12 s', attempt = attempt + 1
   WHERE tenant_id = p_t AND order_id = p_o AND state IN (10, 30) AND cancel_requested_at IS NULL RETURNING * INTO o;
  IF FOUND THEN role := 'fresh';
  ELSE
    UPDATE oms.orders SET next_run_at = now() + interval '12 s', attempt = attempt + 1
     WHERE tenant_id = p_t AND order_id = p_o AND state IN (10, 30, 35, 40) AND next_run_at <= now() RETURNING * INTO o;
    IF FOUND THEN role := 'resumed';
    ELSE
      SELECT * INTO o FROM oms.orders WHERE tenant_id = p_t AND order_id = p_o;
      IF NOT FOUND THEN RETURN; END IF;
      role := CASE WHEN o.state >= 100 THEN 'final' ELSE 'running' END;
    END IF;
  END IF;
  entity := to_json(o); due := o.decide_at <= now(); RETURN NEXT;
END $$;

-- p_charged: a charge went out without a verdict. p_soon: its end is near, ask again in a second. The cap of 10 s keeps
-- crash to end below 30 s.
CREATE FUNCTION oms.defer_order(p_t text, p_o uuid, p_charged boolean, p_soon boolean)
${returnsOrder} AS $$
DECLARE o oms.orders;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.orders SET state = 30, next_run_at = now() + ${pause}
   WHERE tenant_id = p_t AND order_id = p_o AND state = 10 AND p_charged RETURNING * INTO o;
  -- Of two drivers the second only defers: one transition, counted once.
  role := CASE WHEN FOUND THEN 'written' ELSE 'kept' END;
  IF NOT FOUND THEN
    UPDATE oms.orders SET next_run_at = now() + ${pause}
     WHERE tenant_id = p_t AND order_id = p_o AND state IN (10, 30, 35, 40) RETURNING * INTO o;
  END IF;
  IF NOT FOUND THEN SELECT * INTO o FROM oms.orders WHERE tenant_id = p_t AND order_id = p_o; END IF;
  IF NOT FOUND THEN RETURN; END IF;
  entity := to_json(o); due := o.decide_at <= now(); RETURN NEXT;
END $$;

-- An id that inventory knows and we do not: after a restore. The tombstone defeats a late acceptance, and the driver
-- gives back what the lost order holds.
CREATE FUNCTION oms.reservation_verdict(p_t text, p_o uuid)
RETURNS TABLE (verdict text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_state smallint;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.orders (tenant_id, order_id, state, lines, cancel_requested_at, decide_at, next_run_at)
    VALUES (p_t, p_o, 10, '[]', now(), now(), now()) ON CONFLICT DO NOTHING;
  SELECT o.state INTO v_state FROM oms.orders o WHERE o.tenant_id = p_t AND o.order_id = p_o;
  verdict := CASE WHEN v_state = 100 THEN 'commit' WHEN v_state IN (110, 120, 130) THEN 'release' ELSE 'keep' END;
  RETURN NEXT;
END $$;

CREATE FUNCTION oms.list_orders(p_t text, p_state smallint, p_before timestamptz, p_before_id uuid, p_limit integer)
${returnsOrder} AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY SELECT 'read', to_json(o), o.decide_at <= now() FROM oms.orders o
    WHERE o.tenant_id = p_t AND (p_state IS NULL OR o.state = p_state)
      AND (p_before IS NULL OR o.created_at < p_before OR o.created_at = p_before AND o.order_id > p_before_id)
    ORDER BY o.created_at DESC, o.order_id LIMIT p_limit;
END $$;

CREATE FUNCTION oms.list_events(p_t text, p_after bigint, p_limit integer)
RETURNS TABLE (seq bigint, type text, order_id uuid, body jsonb, created_at timestamptz) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY SELECT e.seq, e.type, e.order_id, e.body, e.created_at FROM oms.order_event e
    WHERE e.tenant_id = p_t AND e.seq > p_after ORDER BY e.seq LIMIT p_limit;
END $$;

-- Moves what still stands in the outbox; a second publisher of the same rows finds nothing and numbers nothing.
CREATE FUNCTION oms.publish(p_t text, p_orders uuid[], p_types text[])
RETURNS TABLE (published bigint) LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_last bigint;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.event_tail (tenant_id, last_seq) VALUES (p_t, 0) ON CONFLICT DO NOTHING;
  SELECT last_seq INTO v_last FROM oms.event_tail WHERE tenant_id = p_t FOR UPDATE;
  WITH moved AS (DELETE FROM oms.outbox o USING unnest(p_orders, p_types) AS w (order_id, type)
      WHERE o.tenant_id = p_t AND o.order_id = w.order_id AND o.type = w.type
      RETURNING o.order_id, o.type, o.body, o.created_at),
    numbered AS (INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body)
      SELECT p_t, v_last + row_number() OVER (ORDER BY m.created_at, m.order_id), m.order_id, m.type, m.body FROM moved m
      RETURNING 1)
  SELECT count(*) INTO published FROM numbered;
  UPDATE oms.event_tail SET last_seq = v_last + published WHERE tenant_id = p_t AND published > 0;
  RETURN NEXT;
END $$;

CREATE FUNCTION oms.set_price(p_t text, p_sku text, p_currency text, p_minor bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.price (tenant_id, sku, currency, unit_price_minor) VALUES (p_t, p_sku, p_currency, p_minor)
    ON CONFLICT (tenant_id, sku, currency) DO UPDATE SET unit_price_minor = excluded.unit_price_minor;
END $$;`

/** Across tenants, hence by the sweeper role; they give away ids and counts only. */
const sweepers = `
CREATE FUNCTION oms.claim_due(p_batch integer)
RETURNS TABLE (tenant_id text, order_id uuid) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  WITH d AS (
    SELECT q.tenant_id, q.order_id FROM oms.orders q WHERE q.state IN (10, 30, 35, 40) AND q.next_run_at <= now()
     ORDER BY q.next_run_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
  UPDATE oms.orders o SET next_run_at = now() + interval '12 s', attempt = o.attempt + 1
    FROM d WHERE (o.tenant_id, o.order_id) = (d.tenant_id, d.order_id) RETURNING d.tenant_id, d.order_id
$$;

CREATE FUNCTION oms.return_leases(p_tenants text[], p_orders uuid[])
RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  UPDATE oms.orders o SET next_run_at = now() FROM unnest(p_tenants, p_orders) AS h (tenant_id, order_id)
   WHERE (o.tenant_id, o.order_id) = (h.tenant_id, h.order_id) AND o.state IN (10, 30, 35, 40)
$$;

CREATE FUNCTION oms.claim_outbox(p_batch integer)
RETURNS TABLE (tenant_id text, order_id uuid, type text) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  WITH d AS (
    SELECT q.tenant_id, q.order_id, q.type FROM oms.outbox q WHERE q.next_try_at <= now()
     ORDER BY q.next_try_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
  UPDATE oms.outbox o SET next_try_at = now() + interval '5 s', attempt = o.attempt + 1
    FROM d WHERE (o.tenant_id, o.order_id, o.type) = (d.tenant_id, d.order_id, d.type)
    RETURNING d.tenant_id, d.order_id, d.type
$$;

CREATE FUNCTION oms.unfinished_orders()
RETURNS TABLE (state smallint, orders bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  SELECT q.state, count(*) FROM oms.orders q WHERE q.next_run_at IS NOT NULL GROUP BY q.state
$$;

CREATE FUNCTION oms.order_ages()
RETURNS TABLE (oldest_due_seconds double precision, outbox_oldest_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  SELECT coalesce(extract(epoch FROM now() - (SELECT min(q.next_run_at) FROM oms.orders q WHERE q.next_run_at <= now())), 0),
         coalesce(extract(epoch FROM now() - (SELECT min(q.created_at) FROM oms.outbox q)), 0)
$$;
${[
  'claim_due(integer)',
  'return_leases(text[], uuid[])',
  'claim_outbox(integer)',
  'unfinished_orders()',
  'order_ages()',
]
  .map(
    (name) => `
REVOKE ALL ON FUNCTION oms.${name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION oms.${name} TO oms_order;
ALTER FUNCTION oms.${name} OWNER TO oms_order_sweeper;`,
  )
  .join('')}`

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const part of [tables, guards, tenants, functions, sweepers]) await sql.raw(part).execute(db)
}
