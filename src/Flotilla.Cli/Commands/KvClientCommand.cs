using System.Globalization;
using System.Text;
using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla kvclient</c>: the client of an earlier program, over gRPC, with its flags and its lines.</summary>
internal sealed class KvClientCommand : CliCommand
{
    private const string Service = "/flotilla.v1.KV/";

    private static readonly TimeSpan CallTime = TimeSpan.FromSeconds(10);

    // The server waits for up to 30 s until the node votes.
    private static readonly TimeSpan AddNodeTime = TimeSpan.FromSeconds(35);

    private static readonly Flag<string> What = new("--command", "COMMAND", "monitor, addnode, set, get or help", Readers.OneOf("monitor", "addnode", "set", "get", "help"), "help") { OneDash = true };
    private static readonly Flag<HostPort> Address = new("--address", "HOST:RPC", "addnode: the RPC address of the node to add", Readers.Address, "localhost:10002") { OneDash = true };
    private static readonly Flag<string> Id = new("--id", "ID", "addnode: the name of the node to add", Readers.NodeName, "node2") { OneDash = true };
    private static readonly Flag<string> Key = new("--key", "KEY", "get and set: the key", Readers.SomeText, "somekey1") { OneDash = true };
    private static readonly Flag<string> Val = new("--val", "VALUE", "set: the value", Readers.Text, "someval1") { OneDash = true };
    private static readonly Flag<HostPort> Server = new("--server", "HOST:RPC", "The RPC address of the node to ask", Readers.Address, "localhost:10001") { OneDash = true };
    private static readonly Flag<int> Count = new("--count", "N", "monitor: end after so many reports; until Ctrl-C by default", Readers.Number(1, int.MaxValue)) { OneDash = true };

    public KvClientCommand()
        : base(
            "kvclient",
            "Asks a node over gRPC: adds a node, stores and reads a value, watches the cluster.",
            "flotilla kvclient --command addnode --address localhost:10002 --id node2", "adds the node that waits there",
            "flotilla kvclient --command set --key key1 --val value1", "stores a value",
            "flotilla kvclient --command get --key key1", "reads it; exit code 3 if there is none",
            "flotilla kvclient --command monitor", "reports leaders, terms and roles until Ctrl-C") => Use(What, Address, Id, Key, Val, Server, Count);

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var what = invocation.Get(What);
        var output = invocation.Shell.Out;
        if (string.Equals(what, "help", StringComparison.Ordinal))
        {
            WriteUsage(output);
            return ExitCode.Done;
        }

        var server = invocation.Get(Server);
        using var channel = new RpcChannel(server);
        output.WriteLine($"Connecting to RPC Server {what}");
        try
        {
            switch (what)
            {
                case "addnode":
                    await AddNodeAsync(invocation, channel);
                    break;
                case "set":
                    await SetAsync(invocation, channel);
                    break;
                case "get":
                    await GetAsync(invocation, channel);
                    break;
                default:
                    await MonitorAsync(invocation, channel);
                    break;
            }

            return ExitCode.Done;
        }
        catch (RpcException e) when (e.Failure != RpcFailure.Cancelled)
        {
            await output.FlushAsync(CancellationToken.None);
            return KvClientFailure.Explain(invocation.Shell.Err, e, server, what, invocation.Get(Key));
        }
        catch (RpcException) when (string.Equals(what, "monitor", StringComparison.Ordinal))
        {
            return ExitCode.Done; // Ctrl-C is how one leaves a monitor.
        }
        catch (RpcException e)
        {
            throw new OperationCanceledException(e.Message, e, invocation.Shell.Stop);
        }
    }

    private static async Task AddNodeAsync(Invocation invocation, RpcChannel channel)
    {
        var request = new AddNodeRequest { Id = invocation.Get(Id), Address = invocation.Get(Address).ToString() };
        _ = await channel.UnaryAsync(Service + "AddNode", request, AddNodeResponse.Parser, AddNodeTime, invocation.Shell.Stop);
        Log(invocation, "Response from RPC Server for AddNode : 1 Success");
    }

    private static async Task SetAsync(Invocation invocation, RpcChannel channel)
    {
        var (key, value) = (invocation.Get(Key), invocation.Get(Val));
        invocation.Shell.Out.WriteLine($"Storing in DB via rpc key:{Quoted(key)} val:{Quoted(value)} ");
        var request = new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value) };
        _ = await channel.UnaryAsync(Service + "Put", request, PutResponse.Parser, CallTime, invocation.Shell.Stop);
        Log(invocation, "Response from RPC Server for Store Data : 1 Success");
    }

    private static async Task GetAsync(Invocation invocation, RpcChannel channel)
    {
        var key = invocation.Get(Key);
        invocation.Shell.Out.WriteLine($"Retrieving data from DB via rpc key:{Quoted(key)} ");
        var answer = await channel.UnaryAsync(Service + "Get", new GetRequest { Key = ByteString.CopyFromUtf8(key) }, GetResponse.Parser, CallTime, invocation.Shell.Stop);
        var value = answer.Value.Span;
        invocation.Shell.Out.WriteLine($"Retrieved from DB via rpc {key} {(System.Text.Unicode.Utf8.IsValid(value) ? Encoding.UTF8.GetString(value) : $"base64:{Convert.ToBase64String(value)}")}");
    }

    private static async Task MonitorAsync(Invocation invocation, RpcChannel channel)
    {
        var left = invocation.TryGet(Count, out var count) ? count : int.MaxValue;
        await foreach (var report in channel.ServerStreamingAsync(Service + "Monitor", new MonitorRequest(), MonitorEvent.Parser, cancellation: invocation.Shell.Stop))
        {
            Log(invocation, $"Monitor : {report.Node} of cluster {report.ClusterId}, nodes {string.Join(' ', report.Nodes.Select(static n => $"{n.Id}={(n.Alive ? "up" : "down")}"))}");
            foreach (var shard in report.Shards)
            {
                var here = report.Replicas.FirstOrDefault(r => r.Shard == shard.Id) is { } replica
                    ? string.Create(CultureInfo.InvariantCulture, $", here {replica.Role} commit {replica.CommitIndex} applied {replica.LastApplied} keys {replica.Keys}")
                    : "";
                var learners = shard.Learners.Count == 0 ? "" : $" learners {string.Join(' ', shard.Learners)}";
                Log(invocation, string.Create(CultureInfo.InvariantCulture, $"Monitor : shard {shard.Id} leader {(shard.Leader.Length == 0 ? "none" : shard.Leader)} term {shard.Term} voters {string.Join(' ', shard.Voters)}{learners}{here}"));
            }

            await invocation.Shell.Out.FlushAsync(CancellationToken.None);
            if (--left == 0)
            {
                return;
            }
        }
    }

    /// <summary>A line with the time before it, as Go's log package writes it.</summary>
    private static void Log(Invocation invocation, string line) =>
        invocation.Shell.Out.WriteLine($"{TimeProvider.System.GetLocalNow().ToString("yyyy'/'MM'/'dd HH':'mm':'ss", CultureInfo.InvariantCulture)} {line}");

    /// <summary>In quotes, on one line.</summary>
    private static string Quoted(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (var c in text)
        {
            _ = c switch
            {
                '"' or '\\' => quoted.Append('\\').Append(c),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                _ when char.IsControl(c) => quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => quoted.Append(c),
            };
        }

        return quoted.Append('"').ToString();
    }

    private static void WriteUsage(TextWriter output)
    {
        output.WriteLine("Usage of ./kvclient:");
        Write("address", "string", "TCP host+port for this node", Address.Standard!);
        Write("command", "string", "monitor, addnode, set(key,val), get(key)", What.Standard!);
        Write("count", "int", "Reports after which monitor ends; until Ctrl-C by default", null);
        Write("id", "string", "Node ID", Id.Standard!);
        Write("key", "string", "Key to test", Key.Standard!);
        Write("server", "string", "TCP host+port of the node to ask", Server.Standard!);
        Write("val", "string", "Val to set and test for key", Val.Standard!);

        void Write(string flag, string type, string says, string? standard)
        {
            output.WriteLine($"  -{flag} {type}");
            output.WriteLine($"    \t{says}{(standard is null ? "" : $" (default \"{standard}\")")}");
        }
    }
}
