import Testing
import Transport

/// Fingerprints that differ in one character.
func fingerprint(_ letter: Character) throws -> Fingerprint {
    try #require(Fingerprint("SHA256:" + String(letter) + String(repeating: "A", count: 42)))
}
