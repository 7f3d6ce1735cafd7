"""The certificate that the metrics API serves with. Pure but for the keys, which nobody can foresee.

Its CA signs this one certificate, and the CA's key is thrown away at once: a renewal makes both anew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from octavo_api.names import METRICS_API_NAME

LIFETIME: Final = timedelta(days=365)
RENEW_BEFORE_END: Final = LIFETIME / 3
_CLOCKS_DIFFER: Final = timedelta(hours=1)
_MAX_OTHERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCertificate:
    """All in PEM."""

    ca: str
    certificate: str
    key: str

    @property
    def not_after(self) -> datetime:
        return _read(self.certificate).not_valid_after_utc


def service_names(namespace: str) -> tuple[str, ...]:
    """As which the API server calls the Service, the last of them."""
    return (
        METRICS_API_NAME,
        f"{METRICS_API_NAME}.{namespace}",
        f"{METRICS_API_NAME}.{namespace}.svc",
    )


def make(namespace: str, now: datetime) -> ServingCertificate:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    # With the time in its name a CA is never taken for the one before it, which may be trusted beside it.
    ca_name = _name(f"{METRICS_API_NAME}-ca@{now.timestamp():.0f}")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in service_names(namespace)]
    certificate = (
        _builder(_name(METRICS_API_NAME), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return ServingCertificate(
        ca=_pem(ca),
        certificate=_pem(certificate),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def fault(found: ServingCertificate, namespace: str, now: datetime) -> str:
    """Why another is to be made now, in words for the log; empty: this one serves."""
    try:
        ca, certificate = _read(found.ca), _read(found.certificate)
        key = load_pem_private_key(found.key.encode(), password=None)
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        return f"it is damaged ({error or type(error).__name__})"
    if _public(key.public_key()) != _public(certificate.public_key()):
        return "its key is another certificate's"
    if not set(service_names(namespace)) <= set(names.get_values_for_type(x509.DNSName)):
        return f"it is not for {service_names(namespace)[-1]}"
    if now < certificate.not_valid_before_utc:
        return f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    end = min(ca.not_valid_after_utc, certificate.not_valid_after_utc)
    if now > end - RENEW_BEFORE_END:
        return f"it ends on {end:%Y-%m-%d}"
    return ""


def bundle_with(ca: str, bundle: str, now: datetime) -> str:
    """`bundle` itself if it trusts `ca` already, else `ca` and the newest of the bundle that have not ended.

    A replica serves with the former certificate until it has read the new one.
    """
    before = [one for one in _read_all(bundle) if now <= one.not_valid_after_utc]
    ours = _read(ca)
    if ours in before:
        return bundle
    others = sorted(before, key=lambda one: one.not_valid_after_utc, reverse=True)[:_MAX_OTHERS]
    return "".join(_pem(one) for one in (ours, *others))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _read(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _read_all(bundle: str) -> list[x509.Certificate]:
    """A bundle that cannot be read trusts nobody."""
    try:
        return x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return []


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
