from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from octavo_operator.metrics_api.certificate import LIFETIME, bundle_with, fault, make

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)
MADE = make("octavo-system", NOW)
OTHER = make("octavo-system", NOW)


def test_a_new_certificate_is_for_the_service_and_nothing_else() -> None:
    certificate = x509.load_pem_x509_certificate(MADE.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert "octavo-metrics-api.octavo-system.svc" in names.get_values_for_type(x509.DNSName)
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert MADE.not_after == NOW + LIFETIME
    assert fault(MADE, "octavo-system", NOW) == ""


def test_it_serves_at_once_where_clocks_differ_and_is_renewed_in_the_last_third() -> None:
    assert fault(MADE, "octavo-system", NOW - timedelta(minutes=30)) == ""
    assert "not valid before" in fault(MADE, "octavo-system", NOW - timedelta(hours=2))
    assert fault(MADE, "octavo-system", NOW + LIFETIME * 0.66) == ""
    assert fault(MADE, "octavo-system", NOW + LIFETIME * 0.67) == "it ends on 2027-11-26"


@pytest.mark.parametrize(
    ("found", "namespace", "words"),
    [
        (MADE, "elsewhere", "not for octavo-metrics-api.elsewhere.svc"),
        (replace(MADE, key=OTHER.key), "octavo-system", "another certificate's"),
        (replace(MADE, ca=OTHER.ca), "octavo-system", "damaged"),
        (replace(MADE, certificate=""), "octavo-system", "damaged"),
        (replace(MADE, key="x"), "octavo-system", "damaged"),
        (replace(MADE, ca=MADE.certificate, certificate=MADE.ca), "octavo-system", "damaged"),
    ],
)
def test_what_does_not_serve_is_made_anew(found: object, namespace: str, words: str) -> None:
    assert words in fault(found, namespace, NOW)  # type: ignore[arg-type]


def test_a_bundle_that_trusts_the_ca_stays_as_it_is() -> None:
    bundle = f"# a note\n{OTHER.ca}{MADE.ca}"
    assert bundle_with(MADE.ca, bundle, NOW) == bundle


def test_a_new_ca_comes_first_and_the_former_stays_until_its_end() -> None:
    assert bundle_with(MADE.ca, "", NOW) == MADE.ca
    assert bundle_with(MADE.ca, "nonsense", NOW) == MADE.ca
    assert bundle_with(MADE.ca, OTHER.ca, NOW) == MADE.ca + OTHER.ca
    later = NOW + LIFETIME + timedelta(days=1)
    renewed = make("octavo-system", later)
    assert bundle_with(renewed.ca, MADE.ca + OTHER.ca, later) == renewed.ca


def test_a_bundle_does_not_grow_without_end() -> None:
    bundle = ""
    for day in range(6):
        now = NOW + timedelta(days=day)
        last = make("octavo-system", now)
        bundle = bundle_with(last.ca, bundle, now)
    assert bundle.startswith(last.ca) and bundle.count("BEGIN") == 3
