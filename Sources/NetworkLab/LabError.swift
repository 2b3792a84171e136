public import Kernel

/// Why the lab could not do what it was asked.
public enum LabError: Error, Sendable, CustomStringConvertible {
    /// A program that the lab needs is not installed.
    case missingTool(Tool)
    /// A program that had to succeed did not.
    case failed(command: [String], status: Termination, errors: String)
    /// Something did not happen in time.
    case deadline(waitingFor: String, limit: Duration)
    /// A system call failed.
    case system(call: String, reason: String)

    public var description: String {
        switch self {
        case .missingTool(let tool):
            "'\(tool.name)' is not installed: apt-get install \(tool.package)"
        case .failed(let command, let status, let errors):
            "'\(command.joined(separator: " "))' \(status.text)" + (errors.isEmpty ? "" : ": \(errors)")
        case .deadline(let what, let limit): "no \(what) within \(limit)"
        case .system(let call, let reason): "\(call): \(reason)"
        }
    }
}

extension Termination {
    var text: String {
        switch self {
        case .exited(let status): "exited with status \(status)"
        case .signaled(let signal): "died by signal \(signal)"
        }
    }
}
