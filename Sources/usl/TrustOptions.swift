import ArgumentParser
import Transport

/// Which gateway is the right one, for the commands that make links.
struct TrustOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The gateway's key, as it says when it starts; nothing else is accepted, and nothing remembered.",
            valueName: "fingerprint"),
        transform: Fingerprint.argument)
    var pin: Fingerprint?

    @OptionGroup var state: StateOptions
}
