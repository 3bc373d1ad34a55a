using System.CommandLine;
using Flotilla.Cli.Flags;

namespace Flotilla.Cli.Commands;

/// <summary>A command of <c>flotilla</c>.</summary>
internal abstract class CliCommand : Command
{
    private readonly List<Flag> _flags = [];

    /// <summary>A command with its name, what it does, and examples: a line to type and what it does, in turn.</summary>
    protected CliCommand(string name, string description, params string[] examples)
        : base(name, description) => Examples = examples;

    /// <summary>Lines to type with what they do, in turn; shown by help.</summary>
    public IReadOnlyList<string> Examples { get; }

    /// <summary>Its flags.</summary>
    public IReadOnlyList<Flag> Flags => _flags;

    /// <summary>Runs it. The result is the exit code.</summary>
    public abstract Task<int> RunAsync(Invocation invocation);

    /// <summary>Gives it flags that may also be written with underscores, as <c>--node_id</c>.</summary>
    protected void UseUnderscored(params IEnumerable<Flag> flags)
    {
        foreach (var flag in flags)
        {
            _flags.Add(flag);
            var option = flag.MakeOption();
            var name = "--" + flag.FileName.Replace('-', '_');
            if (!string.Equals(name, flag.Name, StringComparison.Ordinal))
            {
                option.Aliases.Add(name);
            }

            Add(option);
        }
    }

    /// <summary>Gives it flags.</summary>
    protected void Use(params IEnumerable<Flag> flags)
    {
        foreach (var flag in flags)
        {
            _flags.Add(flag);
            Add(flag.MakeOption());
        }
    }
}
