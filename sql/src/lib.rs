//! The catalog (what is true) and how to ask: tables, views and the shell.
