using System.CommandLine;
using Flotilla.Cli.Flags;

namespace Flotilla.Cli.Commands;

/// <summary>One run of one command: what was typed, and what the environment and the configuration file add.</summary>
internal sealed class Invocation
{
    private readonly ParseResult _parse;
    private readonly ConfigFile? _file;

    /// <summary>Reads the configuration file, if one is named.</summary>
    public Invocation(ParseResult parse, Shell shell, IReadOnlyList<string> arguments, IEnumerable<string> knownSettings)
    {
        _parse = parse;
        Shell = shell;
        var end = arguments.ToList().IndexOf("--");
        EndsFlags = end >= 0;
        if (Find(CommonFlags.Config) is { Text: var path })
        {
            _file = ConfigFile.Read(path, knownSettings);
        }
    }

    /// <summary>The world around it.</summary>
    public Shell Shell { get; }

    /// <summary>A <c>--</c> stands on the command line: what follows is meant as it stands.</summary>
    public bool EndsFlags { get; }

    /// <summary>An argument of the command.</summary>
    public T? Argument<T>(Argument<T> argument) => _parse.GetValue(argument);

    /// <summary>The setting, from flag, environment, file or default; it must have one of them.</summary>
    public T Get<T>(Flag<T> flag) => TryGet(flag, out var value) ? value
        : throw new UsageException($"{flag.Name} is needed: {flag.Help} (also as {flag.EnvironmentName} or \"{flag.FileName}\" in a --config file)");

    /// <summary>The setting, if it is given anywhere or has a default.</summary>
    public bool TryGet<T>(Flag<T> flag, out T value)
    {
        if (Find(flag) is { } found)
        {
            value = flag.Read(found.Text, found.Source);
            return true;
        }

        value = flag.Standard is null ? default! : flag.Read(flag.Standard, flag.Name);
        return flag.Standard is not null;
    }

    /// <summary>Is it given anywhere, so that it is more than a default?</summary>
    public bool Has<T>(Flag<T> flag) => Find(flag) is not null;

    /// <summary>What was written for the setting, if it is given anywhere.</summary>
    public string? WrittenAnywhere(Flag flag) => Find(flag)?.Text;

    /// <summary>Is the toggle on?</summary>
    public bool Get(Toggle flag) => Find(flag) is var (text, source) && Toggle.Read(text, source);

    /// <summary>Throws <see cref="UsageException"/> for the first of the flags that is given and makes no sense, whether or not the command comes to need it.</summary>
    public void Check(IEnumerable<Flag> flags)
    {
        foreach (var flag in flags)
        {
            if (Find(flag) is var (text, source))
            {
                flag.Check(text, source);
            }
        }
    }

    private (string Text, string Source)? Find(Flag flag)
    {
        if (flag.TextGiven(_parse) is { } typed)
        {
            return (typed, flag.Name);
        }

        if (Shell.Env(flag.EnvironmentName) is { Length: > 0 } variable)
        {
            return (variable, flag.EnvironmentName);
        }

        return _file?.Find(flag.FileName) is { } setting ? (setting, $"\"{flag.FileName}\" in {_file.Path}") : null;
    }
}
