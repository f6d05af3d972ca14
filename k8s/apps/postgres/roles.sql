-- The databases and roles of packages/chassis/src/provision.ts, once more: a statement ends with a blank line.

DO $$
DECLARE
  service record;
  setting record;
BEGIN
  FOR service IN
    SELECT * FROM (VALUES ('oms_order', '1500ms'), ('oms_payment', '1500ms'), ('oms_inventory', '700ms'))
      AS services (role, statement_timeout)
  LOOP
    EXECUTE format('CREATE ROLE %I LOGIN', service.role);
    EXECUTE format('CREATE ROLE %I LOGIN', service.role || '_owner');
    EXECUTE format('CREATE ROLE %I NOLOGIN', service.role || '_sweeper');
    EXECUTE format('GRANT %I TO %I', service.role || '_sweeper', service.role || '_owner');
    FOR setting IN
      SELECT * FROM (VALUES
        ('lock_timeout', '400ms'),
        ('statement_timeout', service.statement_timeout),
        ('transaction_timeout', '3s'),
        ('idle_in_transaction_session_timeout', '5s'),
        ('client_connection_check_interval', '1s')) AS settings (name, value)
    LOOP
      EXECUTE format('ALTER ROLE %I SET %I = %L', service.role, setting.name, setting.value);
    END LOOP;
  END LOOP;
END $$;

CREATE DATABASE oms_order OWNER oms_order_owner;

REVOKE ALL ON DATABASE oms_order FROM PUBLIC;

GRANT CONNECT ON DATABASE oms_order TO oms_order, oms_order_owner;

CREATE DATABASE oms_payment OWNER oms_payment_owner;

REVOKE ALL ON DATABASE oms_payment FROM PUBLIC;

GRANT CONNECT ON DATABASE oms_payment TO oms_payment, oms_payment_owner;

CREATE DATABASE oms_inventory OWNER oms_inventory_owner;

REVOKE ALL ON DATABASE oms_inventory FROM PUBLIC;

GRANT CONNECT ON DATABASE oms_inventory TO oms_inventory, oms_inventory_owner;
