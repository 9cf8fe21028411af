#include "tests/server/certificates.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <functional>

namespace sinkstream {
namespace {

std::string Pem(const std::function<int(BIO*)>& write) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> memory(BIO_new(BIO_s_mem()), BIO_free_all);
  EXPECT_EQ(write(memory.get()), 1);
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(memory.get(), &text);
  return std::string(text, static_cast<size_t>(bytes));
}

std::string PemOf(X509* certificate) {
  return Pem([=](BIO* to) { return PEM_write_bio_X509(to, certificate); });
}

std::string PemOf(EVP_PKEY* key) {
  return Pem([=](BIO* to) {
    return PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void AddExtension(X509* to, int nid, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  EXPECT_NE(extension, nullptr);
  X509_add_ext(to, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

CertificateAuthority::Key CertificateAuthority::MakeKey() {
  return Key(EVP_EC_gen("P-256"), EVP_PKEY_free);
}

CertificateAuthority::Certificate CertificateAuthority::Make(const std::string& name, EVP_PKEY& key,
                                                             const Validity& validity, X509* issuer,
                                                             EVP_PKEY& issuer_key) {
  static std::atomic<long> serial{1};
  Certificate made(X509_new(), X509_free);
  X509* const certificate = made.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), validity.from_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate), validity.until_seconds);
  X509_set_pubkey(certificate, &key);
  if (!name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
  if (issuer == nullptr) {
    AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  } else if (!name.empty()) {
    AddExtension(certificate, NID_subject_alt_name, "DNS:" + name + ",IP:127.0.0.1");
  }
  EXPECT_GT(X509_sign(certificate, &issuer_key, EVP_sha256()), 0);
  return made;
}

CertificateAuthority::CertificateAuthority(const std::string& name)
    : key_(MakeKey()),
      certificate_(Make(name, *key_, {}, nullptr, *key_)),
      certificate_pem_(PemOf(certificate_.get())) {}

Identity CertificateAuthority::Issue(const std::string& name, const Validity& validity) const {
  return Issue(name, *MakeKey(), validity);
}

Identity CertificateAuthority::IssueWeak(const std::string& name) const {
  return Issue(name, *Key(EVP_RSA_gen(512), EVP_PKEY_free), {});
}

Identity CertificateAuthority::Issue(const std::string& name, EVP_PKEY& key,
                                     const Validity& validity) const {
  const Certificate certificate = Make(name, key, validity, certificate_.get(), *key_);
  return {PemOf(certificate.get()), PemOf(&key)};
}

std::string Encrypted(const std::string& key) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> from(
      BIO_new_mem_buf(key.data(), static_cast<int>(key.size())), BIO_free_all);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> parsed(
      PEM_read_bio_PrivateKey(from.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  char passphrase[] = "secret";
  return Pem([&](BIO* to) {
    return PEM_write_bio_PKCS8PrivateKey(to, parsed.get(), EVP_aes_256_cbc(), passphrase,
                                         sizeof(passphrase) - 1, nullptr, nullptr);
  });
}

}  // namespace sinkstream
