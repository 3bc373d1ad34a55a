using System.CommandLine;
using System.Text;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla put</c>.</summary>
internal sealed class PutCommand : CliCommand
{
    private static readonly Flag<TimeSpan> Ttl = new("--ttl", "TIME", "The record is gone after this time", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(36500)));
    private static readonly Flag<string> IfVersion = new("--if-version", "VERSION", "Write only over exactly this version (compare-and-swap)", Readers.SomeText);
    private static readonly Toggle IfAbsent = new("--if-absent", "Write only if there is no record yet");
    private static readonly Flag<string> FromFile = new("--file", "FILE", "Take the value from a file, as it is (- for standard input), instead of VALUE", Readers.SomeText);

    private readonly Argument<string> _key = new("KEY") { Description = "The key" };
    private readonly Argument<string?> _value = new("VALUE") { Description = "The value; may begin with - (use `--` before it if it is spelled like a flag)", Arity = ArgumentArity.ZeroOrOne };

    public PutCommand()
        : base(
            "put",
            "Stores a value under a key. Prints OK and the record's version.",
            "flotilla put hello world", "stores a value",
            "flotilla put counter -5", "a value may begin with a dash",
            "flotilla put k -- --ttl", "what follows -- is taken as it stands",
            "flotilla put photo --file cat.jpg", "stores a file",
            "flotilla put hello you --if-version 1.0.42.0", "writes only over that version; exit code 4 otherwise",
            "flotilla put session xyz --ttl 30m", "is gone after half an hour")
    {
        Add(_key);
        Add(_value);
        Use(Ttl, IfVersion, IfAbsent, FromFile);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var key = KeyArgument.Read(invocation, _key);
        var text = invocation.Argument(_value);
        if (text is not null && !invocation.EndsFlags && text.StartsWith("--", StringComparison.Ordinal)
            && Suggestions.Nearest(text.Split('=', ':')[0], Options.Select(o => o.Name)) is { } meant)
        {
            throw new UsageException($"'{text}' looks like the flag {meant}; to store it as it is: flotilla put {key} -- {text}");
        }

        var fromFile = invocation.TryGet(FromFile, out var file);
        if (fromFile == text is not null)
        {
            throw new UsageException(fromFile ? "either VALUE or --file is needed, not both" : "a VALUE is needed (or --file): flotilla put KEY VALUE");
        }

        var options = new PutOptions
        {
            IfAbsent = invocation.Get(IfAbsent),
            IfVersion = invocation.TryGet(IfVersion, out var version) ? VersionText.Check(version) : null,
            TimeToLive = invocation.TryGet(Ttl, out var ttl) ? ttl : null,
        };
        if (options is { IfAbsent: true, IfVersion: not null })
        {
            throw new UsageException("--if-absent and --if-version can't both hold");
        }

        var value = fromFile ? await ReadAsync(file, invocation.Shell) : Encoding.UTF8.GetBytes(text!);
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var result = await client.PutAsync(Encoding.UTF8.GetBytes(key), value, options, invocation.Shell.Stop);
        if (result.Outcome != CallOutcome.Ok)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        if (CommonFlags.Json(invocation))
        {
            Json.WriteLine(invocation.Shell.Out, new PutResponse(key, null, result.Version ?? ""));
        }
        else
        {
            invocation.Shell.Out.WriteLine($"OK {result.Version}");
        }

        return ExitCode.Done;
    }

    private static async Task<byte[]> ReadAsync(string file, Shell shell)
    {
        if (!string.Equals(file, "-", StringComparison.Ordinal))
        {
            return await File.ReadAllBytesAsync(file, shell.Stop);
        }

        using var all = new MemoryStream();
        await shell.StdIn().CopyToAsync(all, shell.Stop);
        return all.ToArray();
    }
}
