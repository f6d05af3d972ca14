/** Stock and reservations: tables, guards, tenants and one function per state change. */
import { type Kysely, sql } from 'kysely'

// Reservation states: 1 HELD, 2 COMMITTED, 3 RELEASED, 9 REJECTED.
const tables = `
CREATE TABLE oms.stock (
  tenant_id text NOT NULL,
  sku text NOT NULL,
  supplied bigint NOT NULL CHECK (supplied >= 0),
  available bigint NOT NULL CHECK (available >= 0),
  reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  sold bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, sku),
  CHECK (available + reserved + sold = supplied)
);

-- fp NULL and no lines: a tombstone.
CREATE TABLE oms.reservation (
  tenant_id text NOT NULL,
  order_id uuid NOT NULL,
  fp bytea,
  state smallint NOT NULL CHECK (state IN (1, 2, 3, 9)),
  lines jsonb NOT NULL DEFAULT '[]',
  unavailable jsonb,
  expires_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, order_id),
  CHECK ((state = 1) = (expires_at IS NOT NULL))
);
-- Not WHERE state = 1, which says the same: of nearly no held reservations the planner would read all, dead rows
-- included, to find one of them by its key and state.
CREATE INDEX reservation_due ON oms.reservation (expires_at) WHERE expires_at IS NOT NULL;`

/** A backstop, not control flow: no code path runs into it. */
const guards = `
CREATE FUNCTION oms.guard_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.fp IS DISTINCT FROM OLD.fp OR NEW.lines <> OLD.lines THEN
    RAISE EXCEPTION 'reservation %: fp and lines never change', OLD.order_id;
  END IF;
  IF OLD.state = 1 AND NEW.state IN (1, 2, 3) AND NEW.unavailable IS NULL THEN RETURN NEW; END IF;
  -- Only inside reserve: the row is this transaction's own, nobody else ever saw it held.
  IF OLD.state = 1 AND NEW.state = 9 AND OLD.xmin = pg_current_xact_id()::xid THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'reservation %: no transition from % to %', OLD.order_id, OLD.state, NEW.state;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON oms.reservation FOR EACH ROW EXECUTE FUNCTION oms.guard_reservation();`

const tenants = ['stock', 'reservation']
  .map(
    (table) => `
ALTER TABLE oms.${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE oms.${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oms.${table} TO oms_inventory
  USING (tenant_id = current_setting('oms.tenant')) WITH CHECK (tenant_id = current_setting('oms.tenant'));
GRANT SELECT, INSERT ON oms.${table} TO oms_inventory;`,
  )
  .join('')

/**
 * Each: one call, one round trip, one commit. `entity` is the row as JSON. Locks: reservations by order_id, then stock by sku.
 * The planner takes any list of lines for a hundred and would read all of a tenant's stock to join them: `sku = ANY`
 * beside the join makes it look up theirs.
 */
const functions = `
GRANT UPDATE (supplied, available, reserved, sold) ON oms.stock TO oms_inventory;
GRANT UPDATE (state, unavailable, expires_at) ON oms.reservation TO oms_inventory;
CREATE POLICY every_tenant ON oms.reservation TO oms_inventory_sweeper USING (true);
GRANT SELECT, UPDATE (expires_at) ON oms.reservation TO oms_inventory_sweeper;

-- The row is inserted as HELD before stock is known: winning the key comes first, for it is the lock that duplicates
-- and a release wait on, and stock is locked after reservations everywhere. Locking stock before the insert would turn
-- that order round; looking for the row first would race. A shortage found under the stock locks turns the row to
-- REJECTED before anyone can see it: only then is it written twice, the order that is served writes it once.
CREATE FUNCTION oms.reserve(p_t text, p_o uuid, p_fp bytea, p_lines jsonb)
RETURNS TABLE (role text, entity json) LANGUAGE plpgsql VOLATILE AS $$
DECLARE r oms.reservation; v_skus text[]; v_unavailable jsonb;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.reservation (tenant_id, order_id, fp, state, lines, expires_at)
    VALUES (p_t, p_o, p_fp, 1, p_lines, now() + interval '15 min')
    ON CONFLICT DO NOTHING RETURNING * INTO r;
  IF NOT FOUND THEN
    -- A second statement has a snapshot that sees the winner.
    SELECT * INTO r FROM oms.reservation WHERE tenant_id = p_t AND order_id = p_o;
    role := CASE WHEN r.fp <> p_fp THEN 'conflict' ELSE 'read' END;
    entity := to_json(r); RETURN NEXT; RETURN;
  END IF;
  SELECT array_agg(l.sku) INTO v_skus FROM jsonb_to_recordset(p_lines) AS l(sku text);
  SELECT jsonb_agg(l.sku ORDER BY l.sku) INTO v_unavailable
    FROM jsonb_to_recordset(p_lines) AS l(sku text, quantity bigint)
    LEFT JOIN (SELECT q.sku, q.available FROM oms.stock q
      WHERE q.tenant_id = p_t AND q.sku = ANY (v_skus) ORDER BY q.sku FOR NO KEY UPDATE) s USING (sku)
   WHERE s.available IS NULL OR s.available < l.quantity;
  IF v_unavailable IS NULL THEN
    UPDATE oms.stock s SET available = s.available - l.quantity, reserved = s.reserved + l.quantity
      FROM jsonb_to_recordset(p_lines) AS l(sku text, quantity bigint)
     WHERE s.tenant_id = p_t AND s.sku = ANY (v_skus) AND s.sku = l.sku;
  ELSE
    UPDATE oms.reservation SET state = 9, unavailable = v_unavailable, expires_at = NULL
     WHERE tenant_id = p_t AND order_id = p_o RETURNING * INTO r;
  END IF;
  role := 'fresh'; entity := to_json(r); RETURN NEXT;
END $$;

-- No row yet: the tombstone defeats a reserve that is still on its way; one that is not committed yet is waited for.
CREATE FUNCTION oms.release(p_t text, p_o uuid)
RETURNS TABLE (role text, entity json) LANGUAGE plpgsql VOLATILE AS $$
DECLARE r oms.reservation; v_skus text[];
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.reservation (tenant_id, order_id, state) VALUES (p_t, p_o, 3)
    ON CONFLICT DO NOTHING RETURNING * INTO r;
  IF FOUND THEN role := 'fresh'; entity := to_json(r); RETURN NEXT; RETURN; END IF;
  UPDATE oms.reservation SET state = 3, expires_at = NULL
   WHERE tenant_id = p_t AND order_id = p_o AND state = 1 RETURNING * INTO r;
  IF FOUND THEN
    SELECT array_agg(l.sku) INTO v_skus FROM jsonb_to_recordset(r.lines) AS l(sku text);
    PERFORM 1 FROM oms.stock WHERE tenant_id = p_t AND sku = ANY (v_skus) ORDER BY sku FOR NO KEY UPDATE;
    UPDATE oms.stock s SET reserved = s.reserved - l.quantity, available = s.available + l.quantity
      FROM jsonb_to_recordset(r.lines) AS l(sku text, quantity bigint)
     WHERE s.tenant_id = p_t AND s.sku = ANY (v_skus) AND s.sku = l.sku;
    role := 'fresh';
  ELSE
    SELECT * INTO r FROM oms.reservation WHERE tenant_id = p_t AND order_id = p_o;
    role := CASE r.state WHEN 2 THEN 'committed' ELSE 'read' END;
  END IF;
  entity := to_json(r); RETURN NEXT;
END $$;

-- One row for each that exists, whatever its state; 'fresh' are those that this call committed.
CREATE FUNCTION oms.settle(p_t text, p_orders uuid[])
RETURNS TABLE (role text, entity json) LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_held uuid[]; v_skus text[];
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  SELECT array_agg(h.order_id), array_agg(DISTINCT l.sku) INTO v_held, v_skus
    FROM (SELECT r.order_id, r.lines FROM oms.reservation r
           WHERE r.tenant_id = p_t AND r.order_id = ANY (p_orders) AND r.state = 1
           ORDER BY r.order_id FOR NO KEY UPDATE) h
    LEFT JOIN LATERAL jsonb_to_recordset(h.lines) AS l(sku text) ON true;
  IF v_held IS NOT NULL THEN
    PERFORM 1 FROM oms.stock WHERE tenant_id = p_t AND sku = ANY (v_skus) ORDER BY sku FOR NO KEY UPDATE;
    -- Summed first: a join would apply one of several lines of the same sku.
    UPDATE oms.stock s SET reserved = s.reserved - q.quantity, sold = s.sold + q.quantity
      FROM (SELECT l.sku, sum(l.quantity)::bigint AS quantity
              FROM oms.reservation r, jsonb_to_recordset(r.lines) AS l(sku text, quantity bigint)
             WHERE r.tenant_id = p_t AND r.order_id = ANY (v_held) GROUP BY l.sku) q
     WHERE s.tenant_id = p_t AND s.sku = ANY (v_skus) AND s.sku = q.sku;
    UPDATE oms.reservation SET state = 2, expires_at = NULL WHERE tenant_id = p_t AND order_id = ANY (v_held);
  END IF;
  RETURN QUERY
    SELECT CASE WHEN r.order_id = ANY (v_held) THEN 'fresh' ELSE 'read' END, to_json(r)
      FROM oms.reservation r WHERE r.tenant_id = p_t AND r.order_id = ANY (p_orders) ORDER BY r.order_id;
END $$;

CREATE FUNCTION oms.load_reservation(p_t text, p_o uuid)
RETURNS TABLE (role text, entity json) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY SELECT 'read', to_json(r) FROM oms.reservation r WHERE r.tenant_id = p_t AND r.order_id = p_o;
END $$;

-- p_skus NULL: every sku. By sku, after p_after.
CREATE FUNCTION oms.stock_page(p_t text, p_skus text[], p_after text, p_limit integer)
RETURNS TABLE (role text, entity json) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  RETURN QUERY
    SELECT 'read', to_json(s) FROM oms.stock s
     WHERE s.tenant_id = p_t AND s.sku > p_after AND (p_skus IS NULL OR s.sku = ANY (p_skus))
     ORDER BY s.sku LIMIT p_limit;
END $$;

-- Raises, never lowers: run twice, it changes nothing.
CREATE FUNCTION oms.set_stock(p_t text, p_sku text, p_supplied bigint)
RETURNS TABLE (role text, entity json) LANGUAGE plpgsql VOLATILE AS $$
DECLARE s oms.stock;
BEGIN
  PERFORM set_config('oms.tenant', p_t, true);
  INSERT INTO oms.stock AS k (tenant_id, sku, supplied, available) VALUES (p_t, p_sku, p_supplied, p_supplied)
    ON CONFLICT (tenant_id, sku) DO UPDATE
      SET supplied = EXCLUDED.supplied, available = k.available + EXCLUDED.supplied - k.supplied
      WHERE k.supplied < EXCLUDED.supplied
    RETURNING * INTO s;
  IF FOUND THEN role := 'raised';
  ELSE
    SELECT * INTO s FROM oms.stock WHERE tenant_id = p_t AND sku = p_sku;
    role := 'read';
  END IF;
  entity := to_json(s); RETURN NEXT;
END $$;

-- Across tenants, hence by the sweeper role; they give away ids, ages and counts only. A claim lasts 60 s: when
-- nobody knows what became of the order, it is asked about again.
CREATE FUNCTION oms.claim_expired(p_batch integer)
RETURNS TABLE (tenant_id text, order_id uuid, age_seconds double precision)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  WITH d AS (
    SELECT q.tenant_id, q.order_id FROM oms.reservation q WHERE q.state = 1 AND q.expires_at <= now()
     ORDER BY q.expires_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
  UPDATE oms.reservation r SET expires_at = now() + interval '60 s'
    FROM d WHERE (r.tenant_id, r.order_id) = (d.tenant_id, d.order_id)
    RETURNING d.tenant_id, d.order_id, extract(epoch FROM now() - r.created_at)::double precision
$$;

CREATE FUNCTION oms.inventory_gauges()
RETURNS TABLE (held bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = oms, pg_temp AS $$
  SELECT count(*) FROM oms.reservation r WHERE r.expires_at IS NOT NULL
$$;
${['claim_expired(integer)', 'inventory_gauges()']
  .map(
    (name) => `
REVOKE ALL ON FUNCTION oms.${name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION oms.${name} TO oms_inventory;
ALTER FUNCTION oms.${name} OWNER TO oms_inventory_sweeper;`,
  )
  .join('')}`

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const part of [tables, guards, tenants, functions]) await sql.raw(part).execute(db)
}
