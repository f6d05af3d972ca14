-- Every role that has a file gets what stands in it, less the newline at its end, which is the editor's.

DO $$
DECLARE
  folder constant text := '/var/run/secrets/postgres/';
  role name;
BEGIN
  FOR role IN SELECT rolname FROM pg_roles JOIN pg_ls_dir(folder) AS file ON file = rolname
  LOOP
    EXECUTE format('ALTER ROLE %I PASSWORD %L', role, regexp_replace(pg_read_file(folder || role), '\r?\n$', ''));
  END LOOP;
END $$;
