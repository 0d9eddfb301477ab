# IndexPilot: the commands. `make` alone prints what there is.
#
# Building needs plain cargo only: the install script is the concatenation of the files that
# src/schema.rs names (scripts/install-sql), so cargo-pgrx is not needed.

PG          ?= 15
PROFILE     ?= release
DESTDIR     ?=
VERSION     := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Clusters mostly wait, so a few tests run beside one another even on two cores.
export RUST_TEST_THREADS ?= 4

.DEFAULT_GOAL := help
.PHONY: help demo test test-majors lint build install installcheck package bench regress-postgres prerequisites clean

help:
	@echo 'IndexPilot $(VERSION): runs the indexes of a PostgreSQL database by itself.'
	@echo
	@echo '  make demo                 install what is missing, build, start a private cluster, show the main job'
	@echo '  make test                 lint, unit tests, every test on real clusters; other majors in part'
	@echo '  make test PG=16           the same on one other major only (15, 16, 17, 18)'
	@echo '  make lint                 formatting, clippy, and the rules of the house'
	@echo '  make build PG=15          build the library (release)'
	@echo '  make install PG_CONFIG=…  build and install into a server you have (sudo where needed)'
	@echo '  make installcheck         SQL regression tests against a running server (PGHOST, PGPORT, PG_CONFIG)'
	@echo '  make package PG_CONFIG=…  a tar file to unpack on such a server'
	@echo '  make bench                every comparison in bench/; make bench-NAME runs one'
	@echo '  make regress-postgres     PostgreSQL'"'"'s own regression and isolation suites with the library loaded'
	@echo '  make clean                remove target/'

prerequisites:
	@scripts/prerequisites

demo: prerequisites
	@scripts/demo

test: prerequisites
	@scripts/test

# Only the tests that hold on every major, on the majors named.
test-majors: prerequisites
	@scripts/test majors $(or $(MAJORS),16 17 18)

lint: prerequisites
	@scripts/lint

build: prerequisites
	@scripts/build '$(PG)' '$(PROFILE)'

install: prerequisites
	@DESTDIR='$(DESTDIR)' scripts/install '$(PROFILE)'

package: prerequisites
	@scripts/package '$(PROFILE)'

installcheck:
	@scripts/installcheck

bench: prerequisites
	@set -e; for run in bench/*/run; do \
	    if [ -x "$$run" ]; then echo "== $$run"; "$$run"; fi; \
	done

bench-%: prerequisites
	@if [ -x bench/$*/run ]; then bench/$*/run; else echo "there is no bench/$*/run" >&2; exit 1; fi

regress-postgres: prerequisites
	@scripts/regress-postgres

clean:
	rm -rf target
