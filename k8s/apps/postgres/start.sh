#!/bin/sh
# What the pod runs: makes the cluster on its first start, sets the passwords on every start, then becomes the server.
# Asks an image for a shell, initdb and postgres, nothing else. What is set up is set up in single-user mode, when
# nobody can connect; the passwords are read by the server from their files and stand in no command line.
set -eu

conf=/etc/postgresql

run_sql() { # FOLDER DATABASE FILE
  # On an error it ends, and says so without the statement, which may hold a password.
  postgres --single -j -D "$1" -c config_file="$conf/postgresql.conf" \
    -c exit_on_error=on -c log_error_verbosity=terse -c log_min_error_statement=panic \
    "$2" <"$conf/$3" >/dev/null
}

if [ ! -d "$PGDATA" ]; then
  # The folder gets its name when all is in it: a first start that is cut off begins anew.
  new="$PGDATA.new"
  rm -rf "$new"
  initdb -D "$new" --username=postgres --auth=reject --encoding=UTF8 --locale=C
  run_sql "$new" postgres roles.sql
  for database in oms_order oms_payment oms_inventory; do
    run_sql "$new" "$database" schema.sql
  done
  mv "$new" "$PGDATA"
  # What is committed under the new name must not be lost with the name.
  sync
fi

run_sql "$PGDATA" postgres passwords.sql
exec postgres -c config_file="$conf/postgresql.conf"
