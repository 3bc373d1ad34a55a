namespace Flotilla.Cli.Flags;

/// <summary>The command line, the environment or the configuration file asks for something that makes no sense. Exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
