-- Run in each service's database, which is named after its role.

DO $$
DECLARE
  role text := current_database();
BEGIN
  EXECUTE format('CREATE SCHEMA oms AUTHORIZATION %I', role || '_owner');
  REVOKE ALL ON SCHEMA public FROM PUBLIC;
  EXECUTE format('GRANT USAGE ON SCHEMA oms TO %I', role);
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA oms TO %I', role || '_sweeper');
END $$;
