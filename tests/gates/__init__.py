"""What `make check` also looks at: rules of the whole code that no linter knows."""
