/** Payments, refunds and the double-entry ledger: tables, guards, tenants and one function per state change. */
import { type Kysely, sql } from 'kysely'

const tables = `
CREATE TABLE oms.payment (
  tenant_id text NOT NULL,
  order_id uuid NOT NULL,
  fp bytea,
  state smallint NOT NULL CHECK (state IN (1, 2, 3, 4)),
  amount_minor bigint NOT NULL DEFAULT 0,
  currency text NOT NULL DEFAULT '',
  payment_token text,
  psp_key text,
  psp_ref text,
  decline_code text,
  refunded_minor bigint NOT NULL DEFAULT 0,
  next_run_at timestamptz,
  attempt integer NOT NULL DEFAULT 0,
  decided_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, order_id),
  CHECK ((state = 4) = (fp IS NULL)),
  CHECK (state = 4 OR (amount_minor > 0 AND currency <> '')),
  CHECK ((state = 1) = (decided_at IS NULL)),
  CHECK ((state = 1) = (next_run_at IS NOT NULL)),
  CHECK (state <> 2 OR psp_ref IS NOT NULL),
  CHECK (refunded_minor = 0 OR (state = 2 AND refunded_minor BETWEEN 0 AND amount_minor))
);
-- Not WHERE state = 1, which says the same: of nearly no charges under way the planner would read all, dead rows
-- included, to find one of them by its key and state.
CREATE INDEX payment_due ON oms.payment (next_run_at) WHERE next_run_at IS NOT NULL;

CREATE TABLE oms.refund (
  tenant_id text NOT NULL,
  order_id uuid NOT NULL,
  refund_no integer NOT NULL,
  state smallint NOT NULL CHECK (state IN (1, 2, 3)),
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  psp_key text NOT NULL,
  psp_ref text,
  next_run_at timestamptz,
  attempt integer NOT NULL DEFAULT 0,
  decided_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, order_id, refund_no),
  FOREIGN KEY (tenant_id, order_id) REFERENCES oms.payment,
  CHECK ((state = 1) = (decided_at IS NULL)),
  CHECK ((state = 1) = (next_run_at IS NOT NULL))
);
CREATE INDEX refund_due ON oms.refund (next_run_at) WHERE next_run_at IS NOT NULL;

-- One row is one double entry: 0 is the charge, n is refund n.
CREATE TABLE oms.ledger (
  tenant_id text NOT NULL,
  order_id uuid NOT NULL,
  entry integer NOT NULL,
  debit text NOT NULL,
  credit text NOT NULL,
  currency text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, order_id, entry)
);`

/** Backstops, not control flow: no code path runs into them. */
const guards = `
CREATE FUNCTION oms.guard_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.fp IS DISTINCT FROM OLD.fp OR NEW.amount_minor <> OLD.amount_minor OR NEW.currency <> OLD.currency THEN
    RAISE EXCEPTION 'payment %: fp, amount and currency never change', OLD.order_id;
  END IF;
  IF OLD.state = 1 AND NEW.state IN (1, 2, 3) THEN RETURN NEW; END IF;
  IF OLD.state = 2 AND NEW.state = 2
     AND to_jsonb(NEW) - 'refunded_minor' = to_jsonb(OLD) - 'refunded_minor' THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'payment %: no transition from % to %', OLD.order_id, OLD.state, NEW.state;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON oms.payment FOR EACH ROW EXECUTE FUNCTION oms.guard_payment();

CREATE FUNCTION oms.guard_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state = 1 AND NEW.amount_minor = OLD.amount_minor AND NEW.psp_key = OLD.psp_key THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'refund % of %: no transition from % to %', OLD.refund_no, OLD.order_id, OLD.state, NEW.state;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON oms.refund FOR EACH ROW EXECUTE FUNCTION oms.guard_refund();`

const tenants = ['payment', 'refund', 'ledger']
  .map(
    (table) => `
ALTER TABLE oms.${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE oms.${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oms.${table} TO oms_payment
  USING (tenant_id = current_setting('oms.tenant')) WITH CHECK (tenant_id = current_setting('oms.tenant'));
CREATE POLICY every_tenant ON oms.${table} TO oms_payment_sweeper USING (true);
GRANT SELECT, INSERT ON oms.${table} TO oms_payment;
GRANT SELECT, UPDATE ON oms.${table} TO oms_payment_sweeper;`,
  )
  .join('')

/** Each: one call, one round trip, one commit. `entity` is the row as JSON. */
const functions = `
GRANT UPDATE ON oms.payment, oms.refund TO oms_payment;

-- Processors forget idempotency keys after 24 h (Stripe API v1); the hour is for passes under way. Told by the
-- database: a process whose clock is behind would send a forgotten key, and charge twice.
-- With a number: of a charge that this very call made or decided, which nobody can have refunded yet.
CREATE FUNCTION oms.entity(p oms.payment, p_latest_refund_no integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT to_jsonb(p) || jsonb_build_object('key_lives', p.created_at > now() - interval '23 h',
    'latest_refund_no', p_latest_refund_no)
$$;
CREATE FUNCTION oms.entity(p oms.payment) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT oms.entity(p, CASE WHEN p.state = 2 THEN (SELECT coalesce(max(r.refund_no), 0) FROM oms.refund r
    WHERE r.tenant_id = p.tenant_id AND r.order_id = p.order_id) ELSE 0 END)
$$;
CREATE FUNCTION oms.entity(r oms.refund) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT to_jsonb(r) || jsonb_build_object('key_lives', r.created_at > now() - interval '23 h')
$$;

CREATE FUNCTION oms.begin_charge(
  p_t text, p_o uuid, p_fp bytea, p_amount bigint, p_currency text, p_token text, p_psp_key text)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p oms.payment;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, payment_token, psp_key, next_run_at)
    VALUES (p_t, p_o, p_fp, 1, p_amount, p_currency, p_token, p_psp_key, now() + interval '3 s')
    ON CONFLICT DO NOTHING RETURNING * INTO p;
  IF FOUND THEN role := 'fresh'; entity := oms.entity(p, 0); RETURN NEXT; RETURN; END IF;
  -- A second statement has a snapshot that sees the winner.
  SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o;
  IF p.fp <> p_fp THEN role := 'conflict';
  ELSIF p.state <> 1 THEN role := 'final';
  ELSE
    UPDATE oms.payment SET next_run_at = now() + interval '3 s', attempt = attempt + 1
     WHERE tenant_id = p_t AND order_id = p_o AND state = 1 AND next_run_at <= now() RETURNING * INTO p;
    IF FOUND THEN role := 'resumed';
    ELSE
      SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o;
      role := CASE WHEN p.state = 1 THEN 'running' ELSE 'final' END;
    END IF;
  END IF;
  entity := oms.entity(p); RETURN NEXT;
END $$;

CREATE FUNCTION oms.finish_charge(p_t text, p_o uuid, p_verdict text, p_psp_ref text, p_code text)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p oms.payment;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.payment SET state = CASE p_verdict WHEN 'captured' THEN 2 ELSE 3 END, psp_ref = p_psp_ref,
      decline_code = p_code, payment_token = NULL, next_run_at = NULL, decided_at = now()
   WHERE tenant_id = p_t AND order_id = p_o AND state = 1 RETURNING * INTO p;
  IF FOUND THEN
    role := 'written'; entity := oms.entity(p, 0);
    IF p.state = 2 THEN
      INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
        VALUES (p_t, p_o, 0, 'psp', 'sales', p.currency, p.amount_minor);
    END IF;
  ELSE
    SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o;
    role := 'kept'; entity := oms.entity(p);
  END IF;
  RETURN NEXT;
END $$;

-- PSP_MODE=simulated: the outcome follows from the token, so intent and outcome are one write.
CREATE FUNCTION oms.charge_simulated(
  p_t text, p_o uuid, p_fp bytea, p_amount bigint, p_currency text, p_token text, p_psp_key text)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p oms.payment; v_declined boolean := p_token LIKE 'pm\\_decline%';
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, psp_key, psp_ref, decline_code, decided_at)
    VALUES (p_t, p_o, p_fp, CASE WHEN v_declined THEN 3 ELSE 2 END, p_amount, p_currency, p_psp_key,
      'sim_' || p_o, CASE WHEN v_declined THEN 'card_declined' END, now())
    ON CONFLICT DO NOTHING RETURNING * INTO p;
  IF FOUND THEN
    role := 'fresh'; entity := oms.entity(p, 0);
    IF p.state = 2 THEN
      INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
        VALUES (p_t, p_o, 0, 'psp', 'sales', p_currency, p_amount);
    END IF;
  ELSE
    SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o;
    role := CASE WHEN p.fp <> p_fp THEN 'conflict' WHEN p.state = 1 THEN 'running' ELSE 'final' END;
    entity := oms.entity(p);
  END IF;
  RETURN NEXT;
END $$;

CREATE FUNCTION oms.load_payment(p_t text, p_o uuid)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY SELECT 'read', oms.entity(p) FROM oms.payment p WHERE p.tenant_id = p_t AND p.order_id = p_o;
END $$;

-- No row yet: the tombstone defeats a charge that is still on its way.
CREATE FUNCTION oms.void_payment(p_t text, p_o uuid)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p oms.payment;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.payment (tenant_id, order_id, state, decided_at) VALUES (p_t, p_o, 4, now())
    ON CONFLICT DO NOTHING RETURNING * INTO p;
  IF FOUND THEN role := 'fresh';
  ELSE
    SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o;
    role := 'read';
  END IF;
  entity := oms.entity(p); RETURN NEXT;
END $$;

CREATE FUNCTION oms.defer_charge(p_t text, p_o uuid)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.payment
     SET next_run_at = now() + least(interval '5 s', interval '0.25 s' * power(2, least(attempt, 10))) * (0.5 + random())
   WHERE tenant_id = p_t AND order_id = p_o AND state = 1;
END $$;

-- POST refund and its repetitions answer with the latest refund of the order, so that a driver that asks for
-- number 1 sees an operator's number 2 end. p_retry: the operator's next number after a failed one.
CREATE FUNCTION oms.begin_refund(p_t text, p_o uuid, p_retry boolean)
RETURNS TABLE (role text, entity jsonb, payment jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p oms.payment; r oms.refund; v_no integer;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o FOR UPDATE;
  IF NOT FOUND THEN role := 'not_found'; RETURN NEXT; RETURN; END IF;
  payment := oms.entity(p);
  IF p.state <> 2 THEN role := 'not_captured'; RETURN NEXT; RETURN; END IF;
  SELECT * INTO r FROM oms.refund WHERE tenant_id = p_t AND order_id = p_o ORDER BY refund_no DESC LIMIT 1;
  IF FOUND AND NOT (p_retry AND r.state = 3) THEN
    IF r.state <> 1 THEN role := 'final';
    ELSIF r.next_run_at > now() THEN role := 'running';
    ELSE
      UPDATE oms.refund SET next_run_at = now() + interval '3 s', attempt = attempt + 1
       WHERE tenant_id = p_t AND order_id = p_o AND refund_no = r.refund_no RETURNING * INTO r;
      role := 'resumed';
    END IF;
    entity := oms.entity(r); RETURN NEXT; RETURN;
  END IF;
  v_no := coalesce(r.refund_no, 0) + 1;
  -- The money is spoken for before the processor hears of it.
  UPDATE oms.payment SET refunded_minor = amount_minor WHERE tenant_id = p_t AND order_id = p_o;
  INSERT INTO oms.refund (tenant_id, order_id, refund_no, state, amount_minor, psp_key, next_run_at)
    VALUES (p_t, p_o, v_no, 1, p.amount_minor, regexp_replace(p.psp_key, ':c1$', ':r' || v_no), now() + interval '3 s')
    RETURNING * INTO r;
  role := 'fresh'; entity := oms.entity(r); RETURN NEXT;
END $$;

CREATE FUNCTION oms.finish_refund(p_t text, p_o uuid, p_no integer, p_done boolean, p_psp_ref text)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE p oms.payment; r oms.refund;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  SELECT * INTO p FROM oms.payment WHERE tenant_id = p_t AND order_id = p_o FOR UPDATE;
  UPDATE oms.refund SET state = CASE WHEN p_done THEN 2 ELSE 3 END, psp_ref = p_psp_ref, next_run_at = NULL, decided_at = now()
   WHERE tenant_id = p_t AND order_id = p_o AND refund_no = p_no AND state = 1 RETURNING * INTO r;
  IF FOUND THEN
    role := 'written';
    IF p_done THEN
      INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
        VALUES (p_t, p_o, p_no, 'sales', 'psp', p.currency, r.amount_minor);
    ELSE
      UPDATE oms.payment SET refunded_minor = refunded_minor - r.amount_minor WHERE tenant_id = p_t AND order_id = p_o;
    END IF;
  ELSE
    role := 'kept';
    SELECT * INTO r FROM oms.refund WHERE tenant_id = p_t AND order_id = p_o ORDER BY refund_no DESC LIMIT 1;
  END IF;
  entity := oms.entity(r); RETURN NEXT;
END $$;

CREATE FUNCTION oms.latest_refund(p_t text, p_o uuid)
RETURNS TABLE (role text, entity jsonb) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY SELECT 'read', oms.entity(r) FROM oms.refund r
    WHERE r.tenant_id = p_t AND r.order_id = p_o ORDER BY r.refund_no DESC LIMIT 1;
END $$;

CREATE FUNCTION oms.defer_refund(p_t text, p_o uuid, p_no integer)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  UPDATE oms.refund
     SET next_run_at = now() + least(interval '5 s', interval '0.25 s' * power(2, least(attempt, 10))) * (0.5 + random())
   WHERE tenant_id = p_t AND order_id = p_o AND refund_no = p_no AND state = 1;
END $$;

-- Across tenants, hence by the sweeper role; they give away ids and counts only.
CREATE FUNCTION oms.claim_due_charges(p_batch integer)
RETURNS TABLE (tenant_id text, order_id uuid) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  WITH d AS (
    SELECT q.tenant_id, q.order_id FROM oms.payment q WHERE q.state = 1 AND q.next_run_at <= now()
     ORDER BY q.next_run_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
  UPDATE oms.payment p SET next_run_at = now() + interval '3 s', attempt = p.attempt + 1
    FROM d WHERE (p.tenant_id, p.order_id) = (d.tenant_id, d.order_id) RETURNING d.tenant_id, d.order_id
$$;

CREATE FUNCTION oms.claim_due_refunds(p_batch integer)
RETURNS TABLE (tenant_id text, order_id uuid) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  WITH d AS (
    SELECT q.tenant_id, q.order_id, q.refund_no FROM oms.refund q WHERE q.state = 1 AND q.next_run_at <= now()
     ORDER BY q.next_run_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
  UPDATE oms.refund r SET next_run_at = now() + interval '3 s', attempt = r.attempt + 1
    FROM d WHERE (r.tenant_id, r.order_id, r.refund_no) = (d.tenant_id, d.order_id, d.refund_no)
    RETURNING d.tenant_id, d.order_id
$$;

CREATE FUNCTION oms.tenants_of_payment(p_o uuid)
RETURNS TABLE (tenant_id text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  SELECT p.tenant_id FROM oms.payment p WHERE p.order_id = p_o
$$;

CREATE FUNCTION oms.payment_gauges()
RETURNS TABLE (processing bigint, stuck bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  SELECT (SELECT count(*) FROM oms.payment p WHERE p.next_run_at IS NOT NULL),
         (SELECT count(*) FROM oms.refund r WHERE r.state = 3 AND NOT EXISTS (
            SELECT FROM oms.refund n WHERE (n.tenant_id, n.order_id) = (r.tenant_id, r.order_id) AND n.refund_no > r.refund_no))
$$;
${[
  'claim_due_charges(integer)',
  'claim_due_refunds(integer)',
  'tenants_of_payment(uuid)',
  'payment_gauges()',
]
  .map(
    (name) => `
REVOKE ALL ON FUNCTION oms.${name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION oms.${name} TO oms_payment;
ALTER FUNCTION oms.${name} OWNER TO oms_payment_sweeper;`,
  )
  .join('')}`

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const part of [tables, guards, tenants, functions]) await sql.raw(part).execute(db)
}
