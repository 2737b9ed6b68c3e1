//! The echo server of the Tokio tutorial, with a choice of runtimes and with
//! requests that block. Usage:
//!
//!     tokio-echo ADDRESS [multi|current] [none|thread|timer|pool] [MILLISECONDS]
//!
//! A request blocks when its first byte is 1: "thread" calls
//! std::thread::sleep in the task, as a blocking library would; "timer" awaits
//! tokio::time::sleep; "pool" hands the blocking call to spawn_blocking.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy)]
enum Block {
    None,
    Thread,
    Timer,
    Pool,
}

async fn echo(mut socket: TcpStream, block: Block, pause: Duration) -> io::Result<()> {
    let mut buf = vec![0; 1024];
    loop {
        let n = socket.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        if buf[0] == 1 {
            match block {
                Block::None => {}
                Block::Thread => std::thread::sleep(pause),
                Block::Timer => tokio::time::sleep(pause).await,
                Block::Pool => {
                    let _ = tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await;
                }
            }
        }
        socket.write_all(&buf[..n]).await?;
    }
}

async fn serve(address: String, block: Block, pause: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(async move {
            let _ = echo(socket, block, pause).await;
        });
    }
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let arg = |i: usize, default: &str| args.get(i).cloned().unwrap_or_else(|| default.to_string());
    let block = match arg(3, "none").as_str() {
        "none" => Block::None,
        "thread" => Block::Thread,
        "timer" => Block::Timer,
        "pool" => Block::Pool,
        other => panic!("unknown way to block: {other}"),
    };
    let pause = Duration::from_millis(arg(4, "50").parse().expect("milliseconds"));
    let mut runtime = match arg(2, "multi").as_str() {
        "multi" => tokio::runtime::Builder::new_multi_thread(),
        "current" => tokio::runtime::Builder::new_current_thread(),
        other => panic!("unknown runtime: {other}"),
    };
    runtime
        .enable_all()
        .build()?
        .block_on(serve(arg(1, "127.0.0.1:0"), block, pause))
}
