// Certificates that a test makes for itself; nothing of them is kept.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace sinkstream {

struct Identity {
  std::string certificate, key;  // PEM
};

struct Validity {
  long from_seconds = -3600, until_seconds = 3600;  // from now
};

class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);

  const std::string& certificate() const { return certificate_pem_; }
  // For `name` and for 127.0.0.1, with a key of its own.
  Identity Issue(const std::string& name, const Validity& validity = {}) const;
  // The same with an RSA key that is far too short.
  Identity IssueWeak(const std::string& name) const;
  // Of a client whose certificate names nobody.
  Identity IssueNameless() const { return Issue(""); }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

  static Key MakeKey();
  Identity Issue(const std::string& name, EVP_PKEY& key, const Validity& validity) const;
  // Signed by `issuer_key`, whose certificate is `issuer`; null: its own.
  static Certificate Make(const std::string& name, EVP_PKEY& key, const Validity& validity,
                          X509* issuer, EVP_PKEY& issuer_key);

  const Key key_;
  const Certificate certificate_;
  const std::string certificate_pem_;
};

// `key`, PEM, under the passphrase "secret".
std::string Encrypted(const std::string& key);

}  // namespace sinkstream
