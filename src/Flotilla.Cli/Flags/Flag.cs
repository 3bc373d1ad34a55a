using System.CommandLine;
using System.CommandLine.Parsing;

namespace Flotilla.Cli.Flags;

/// <summary>
/// A setting that can be given as a flag, as an environment variable <c>FLOTILLA_…</c> and in a configuration file, in this
/// order of precedence. The parser only sees text: one reader gives one message wherever the text came from.
/// </summary>
internal abstract class Flag(string name, string help, bool hidden)
{
    /// <summary>As written on the command line, with its dashes.</summary>
    public string Name { get; } = name;

    /// <summary>What help says.</summary>
    public string Help { get; } = help;

    /// <summary>Not shown by help.</summary>
    public bool Hidden { get; } = hidden;

    /// <summary>The environment variable.</summary>
    public string EnvironmentName => "FLOTILLA_" + Name.TrimStart('-').Replace('-', '_').ToUpperInvariant();

    /// <summary>The name in a configuration file.</summary>
    public string FileName => Name.TrimStart('-');

    /// <summary>A new one of what the parser knows it by. Values are looked up by name, so that one flag can serve many parsers.</summary>
    public abstract Option MakeOption();

    /// <summary>What the command line says, or null.</summary>
    public abstract string? TextGiven(ParseResult parse);

    /// <summary>Throws <see cref="UsageException"/>, naming where the text came from, if it can't be read.</summary>
    public abstract void Check(string text, string source);
}

/// <summary>Reads a setting from text; if it can't, says what was expected.</summary>
internal delegate bool Reader<T>(string text, out T value, out string expected);

/// <summary>A setting with a value.</summary>
/// <param name="name">With dashes.</param>
/// <param name="valueName">What help calls the value.</param>
/// <param name="help">One or two sentences; the default is added.</param>
/// <param name="read">Reads it.</param>
/// <param name="standard">The default as it would be written, or null if there is none.</param>
/// <param name="hidden">Not shown by help.</param>
internal sealed class Flag<T>(string name, string valueName, string help, Reader<T> read, string? standard = null, bool hidden = false)
    : Flag(name, help, hidden)
{
    /// <summary>The default as it would be written, or null.</summary>
    public string? Standard { get; } = standard;

    /// <summary>May be given more than once; the values are joined with commas.</summary>
    public bool Repeatable { get; init; }

    /// <summary>What the flag alone means, without a value; null (the default) if it needs one.</summary>
    public string? Alone { get; init; }

    /// <summary>Also takes the flag with one dash, as Go's programs do.</summary>
    public bool OneDash { get; init; }

    /// <inheritdoc/>
    public override Option MakeOption() => new Option<string[]>(Name, OneDash ? [Name[1..]] : [])
    {
        HelpName = valueName,
        Description = string.IsNullOrEmpty(Standard) ? Help : $"{Help} [default: {Standard}]",
        Hidden = Hidden,
        Arity = Alone is null ? ArgumentArity.OneOrMore : ArgumentArity.ZeroOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    /// <inheritdoc/>
    public override void Check(string text, string source) => _ = Read(text, source);

    /// <summary>Reads the text, or throws <see cref="UsageException"/> naming where it came from.</summary>
    public T Read(string text, string source) =>
        read(text, out var value, out var expected) ? value : throw new UsageException($"{source}: {expected}, not '{text}'");

    /// <inheritdoc/>
    public override string? TextGiven(ParseResult parse)
    {
        var values = parse.GetResult(Name) is OptionResult { Implicit: false } found ? found.GetValueOrDefault<string[]>() : null;
        return values switch
        {
            null => null,
            { Length: 0 } => Alone,
            { Length: > 1 } when !Repeatable => throw new UsageException($"{Name} is given {values.Length} times: give it once"),
            _ => string.Join(',', values),
        };
    }
}

/// <summary>A setting that is on or off; as a flag it takes no value.</summary>
internal sealed class Toggle(string name, string help, bool hidden = false) : Flag(name, help, hidden)
{
    /// <inheritdoc/>
    public override Option MakeOption() => new Option<bool>(Name) { Description = Help, Hidden = Hidden, Arity = ArgumentArity.Zero };

    /// <inheritdoc/>
    public override string? TextGiven(ParseResult parse) => parse.GetResult(Name) is OptionResult { Implicit: false } ? "on" : null;

    /// <inheritdoc/>
    public override void Check(string text, string source) => _ = Read(text, source);

    /// <summary>Reads the text, or throws <see cref="UsageException"/> naming where it came from.</summary>
    public static bool Read(string text, string source) =>
        Readers.OnOff(text, out var on, out var expected) ? on : throw new UsageException($"{source}: {expected}, not '{text}'");
}
